#!/bin/sh
# The guest's first and only program besides the tests: prepares a small Linux, runs each test program, powers off.
# What is printed on the second serial port is read by xtask: lines with `::` are ours, the rest is the test's.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root USER=root LANG=C.UTF-8 TERM=dumb
export FATHOM_GUEST=1 FATHOM_BIN=/usr/bin/fathom RUST_BACKTRACE=0

mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
mount -t securityfs securityfs /sys/kernel/security
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
chmod 1777 /tmp /dev/shm
ip link set lo up
hostname fathom-guest
ulimit -l unlimited

exec </dev/null >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 raw -echo
echo "::ready $(uname -r)"
cd /tests
while read -r name; do
    echo "::run $name"
    eval "/tests/$name --test-threads=1 --show-output $(cat /etc/test-args) </dev/null"
    echo "::exit $?"
done </etc/tests
echo "::done"
# Let the last bytes out of the port before the machine is gone.
stty -F /dev/ttyS1 >/dev/null
poweroff -f
