/* What the traced events come from: `load KIND SECONDS` repeats one cheap thing and says how often it did. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

__attribute__((noinline)) int bench_work(int number)
{
    __asm__ volatile("" : "+r"(number));
    return number;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

int main(int count, char **words)
{
    /* 64 characters, of a file that is not there. */
    static const char path[] = "/tmp/fathom-bench/0123456789abcdef0123456789abcdef0123456789abcd";
    if (count != 3 || sizeof path != 65) {
        fprintf(stderr, "usage: load getppid|access|function SECONDS\n");
        return 1;
    }
    double start = now(), seconds = atof(words[2]);
    unsigned long done = 0;
    do {
        for (int i = 0; i < 1000; i++, done++) {
            switch (words[1][0]) {
            case 'g': syscall(SYS_getppid); break;
            case 'a': syscall(SYS_access, path, F_OK); break;
            default: bench_work(i);
            }
        }
    } while (now() - start < seconds);
    printf("%lu %.6f\n", done, now() - start);
    return 0;
}
