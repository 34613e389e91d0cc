/* The limit of spawning: children `/bin/sh -c true`, so many at a time, and nothing else.
 *
 *   cc -O2 -o posix_spawn posix_spawn.c && ./posix_spawn -c 10 -d 5 --warmup 1
 *
 * Prints what loadtests/hammer.py prints: children that ended well count as requests, latency is
 * milliseconds from the spawn to the wait that returned.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

enum { MOST_ALIVE = 1000, MOST_SAMPLES = 10000000 };

extern char **environ;

static struct { pid_t pid; double since; } alive[MOST_ALIVE];
static float *samples;
static long count, errors;

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static double cpu(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec
        + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void start(int slot) {
    char *argv[] = {"sh", "-c", "true", NULL};
    alive[slot].since = now();
    int problem = posix_spawn(&alive[slot].pid, "/bin/sh", NULL, NULL, argv, environ);
    if (problem) {
        fprintf(stderr, "posix_spawn: %s\n", strerror(problem));
        exit(1);
    }
}

/* Wait for one child; returns its slot. */
static int reap(int slots) {
    int status;
    pid_t pid = waitpid(-1, &status, 0);
    if (pid < 0) {
        perror("waitpid");
        exit(1);
    }
    for (int slot = 0; slot < slots; slot++) {
        if (alive[slot].pid != pid) continue;
        if (status != 0) errors++;
        else if (count < MOST_SAMPLES) samples[count++] = (now() - alive[slot].since) * 1e3;
        alive[slot].pid = 0;
        return slot;
    }
    fprintf(stderr, "not a child of ours: %d\n", (int)pid);
    exit(1);
}

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The nearest-rank percentile; 0 of nothing. */
static double percentile(int percent) {
    long rank = (count * percent + 99) / 100;
    return count ? samples[rank > 0 ? rank - 1 : 0] : 0;
}

int main(int argc, char **argv) {
    int slots = 10;
    double seconds = 5, warmup = 0;
    for (int at = 1; at + 1 < argc; at += 2) {
        if (!strcmp(argv[at], "-c")) slots = atoi(argv[at + 1]);
        else if (!strcmp(argv[at], "-d")) seconds = atof(argv[at + 1]);
        else if (!strcmp(argv[at], "--warmup")) warmup = atof(argv[at + 1]);
        else argc = 0;
    }
    samples = malloc(MOST_SAMPLES * sizeof *samples);
    if (argc % 2 == 0 || slots < 1 || slots > MOST_ALIVE || !samples) {
        fprintf(stderr, "usage: posix_spawn [-c ALIVE] [-d SECONDS] [--warmup SECONDS]\n");
        return 2;
    }
    double begun = now() + warmup, used = cpu(), last = 0;
    for (int slot = 0; slot < slots; slot++) start(slot);
    for (int warm = 0; (last = now()) < begun + seconds;) {
        int slot = reap(slots);
        if (!warm && now() >= begun) {
            warm = 1;
            count = 0;
            begun = now();
            used = cpu();
        }
        start(slot);
    }
    double took = last - begun, spent = cpu() - used;
    long done = count;
    for (int left = slots; left > 0; left--) reap(slots);
    count = done;
    qsort(samples, count, sizeof *samples, ascending);
    char kinds[64] = "";
    if (errors) snprintf(kinds, sizeof kinds, "\"children that failed\": %ld", errors);
    printf("{\"requests\": %ld, \"seconds\": %.3f, \"throughput\": %.1f, \"p50_ms\": %.3f, "
           "\"p95_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f, \"errors\": %ld, "
           "\"error_kinds\": {%s}, \"connects\": 0, \"client_cpu\": %.2f}\n",
           count, took, count / took, percentile(50), percentile(95), percentile(99),
           percentile(100), errors, kinds, spent / took);
    return errors ? 1 : 0;
}
