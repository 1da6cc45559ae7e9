/* Stands between a process and the kernel: sets its wall clock, and slows down its disk. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* What the file with the settings holds. The test changes it while the process runs. */
struct settings {
    int64_t seconds_ahead;
    int64_t nanoseconds_a_write;
};

static const volatile struct settings *settings;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("HITHER_LAB_MACHINE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof *settings, PROT_READ, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) settings = mapped;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int failed = syscall(SYS_clock_gettime, clock, time);
    if (!failed && clock == CLOCK_REALTIME && settings) time->tv_sec += settings->seconds_ahead;
    return failed;
}

/* What the database writes with. */
ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
    if (settings) {
        int64_t pause = settings->nanoseconds_a_write;
        struct timespec time = {pause / 1000000000, pause % 1000000000};
        if (pause) nanosleep(&time, NULL);
    }
    return syscall(SYS_pwrite64, file, bytes, count, at);
}
