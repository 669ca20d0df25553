/* A small program that does real work, for the demo: keeps accounts, asks for interest, writes a statement for each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct account {
    char owner[16];
    long cents;
};

__attribute__((noinline)) long deposit(struct account *account, const char *owner, long cents)
{
    account->cents += cents;
    return account->cents;
}

/* Slow on purpose, and slower for those who have more: what a latency histogram should show. */
__attribute__((noinline)) long interest(long cents, int percent)
{
    volatile long sum = 0;
    for (long step = 0; step < cents / 4; step++)
        sum += step % percent;
    return cents * percent / 100 + (sum < 0);
}

__attribute__((noinline)) int write_statement(const char *path, struct account *account)
{
    FILE *file = fopen(path, "w");
    if (!file)
        return -1;
    int length = fprintf(file, "%s has %ld.%02ld\n", account->owner, account->cents / 100, account->cents % 100);
    fclose(file);
    return length;
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : "/tmp";
    const char *names[] = {"ada", "grace", "edsger", "barbara"};
    struct account accounts[4] = {0};
    for (int day = 1; day <= 8; day++) {
        for (int i = 0; i < 4; i++) {
            strcpy(accounts[i].owner, names[i]);
            deposit(&accounts[i], names[i], 1000L * day * (i + 1) * (i + 1));
            deposit(&accounts[i], names[i], interest(accounts[i].cents, 3));
        }
        usleep(20000);
    }
    for (int i = 0; i < 4; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s.txt", folder, names[i]);
        write_statement(path, &accounts[i]);
    }
    return 0;
}
