//! Packets on a pair of devices in a network namespace of the test's own.

use crate::assemble::*;
use crate::harness::*;
use fathom_bpf::ProgramKind;
use fathom_bpf::object::{Direction, Place};
use fathom_runtime::{Error, Options};
use std::net::UdpSocket;
use std::process::Command;

/// `XDP_PASS`
const PASS: i32 = 2;
/// `TC_ACT_UNSPEC`: the next program decides.
const NEXT: i32 = -1;

/// Runs on a thread that has its own network, with the devices `left` (10.99.0.1) and `right`.
fn in_own_network(body: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                // SAFETY: gives only this thread another network namespace.
                assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
                ip("link add left type veth peer name right");
                ip("addr add 10.99.0.1/24 dev left");
                ip("link set left up");
                ip("link set right up");
                body();
            })
            .join()
            .unwrap();
    });
}

fn ip(arguments: &str) {
    let status = Command::new("ip")
        .args(arguments.split(' '))
        .status()
        .unwrap();
    assert!(status.success(), "ip {arguments}");
}

/// Sends something that comes out at `right`: at least a question for 10.99.0.2's address.
fn send_packets() {
    let socket = UdpSocket::bind("10.99.0.1:0").unwrap();
    for _ in 0..3 {
        // Nobody answers.
        let _ = socket.send_to(b"x", "10.99.0.2:9");
    }
}

fn script(kind: ProgramKind, result: i32, place: Place) -> Script {
    let code = Code::new().send(EVENTS, PRINT_HELLO).send(EVENTS, EXIT);
    Script::new()
        .program(code.program("packets", kind, result))
        .at("packets", place)
}

#[test]
fn xdp_sees_packets() {
    if !is_root() {
        return;
    }
    in_own_network(|| {
        let place = Place::Xdp {
            device: "right".into(),
        };
        let script = script(ProgramKind::Xdp, PASS, place);
        let ran = run_while(script.object, Options::default(), |_, _| send_packets());
        ran.outcome();
        assert_eq!(ran.out.trim_end(), "hello");
    });
}

#[test]
fn a_second_xdp_program_is_told_of_the_first() {
    if !is_root() {
        return;
    }
    in_own_network(|| {
        let xdp = || {
            let code = Code::new();
            Script::new()
                .program(code.program("packets", ProgramKind::Xdp, PASS))
                .at(
                    "xdp:right",
                    Place::Xdp {
                        device: "right".into(),
                    },
                )
                .object
        };
        let first = run_while(xdp(), Options::default(), |stop, _| {
            let Err(Error::Attach(failures)) = run(xdp(), Options::default()).outcome else {
                panic!("it was attached");
            };
            let text = failures[0].to_string();
            assert!(
                text.contains("another XDP program is attached to right"),
                "{text}"
            );
            stop.stop();
        });
        first.outcome();
    });
}

#[test]
fn tc_sees_packets_in_both_directions() {
    if !is_root() {
        return;
    }
    in_own_network(|| {
        for (device, direction) in [("right", Direction::Ingress), ("left", Direction::Egress)] {
            let place = Place::Tc {
                device: device.into(),
                direction,
            };
            let script = script(ProgramKind::SchedCls, NEXT, place);
            let ran = run_while(script.object, Options::default(), |_, _| send_packets());
            ran.outcome();
            assert_eq!(ran.out.trim_end(), "hello", "{device}");
        }
    });
}

#[test]
fn a_device_that_is_not_there() {
    if !is_root() {
        return;
    }
    let place = Place::Xdp {
        device: "fathom-none".into(),
    };
    let Err(Error::Attach(failures)) = run(
        script(ProgramKind::Xdp, PASS, place).object,
        Options::default(),
    )
    .outcome
    else {
        panic!("it was attached");
    };
    assert_eq!(
        failures[0].to_string(),
        "cannot attach `packets`: there is no network device `fathom-none` here (see `ip link`)"
    );
}
