/* Lets one call of a process fail, or the process die at it. Loaded with LD_PRELOAD.
 *
 * What counts is every call that changes a file below FAULTS_BELOW, or makes, renames
 * or removes one there: they are numbered from 1, over all threads. The number of the
 * last one stands in the file FAULTS_COUNT, as eight bytes of a number of this machine.
 *
 * FAULTS_AT=<n> FAULTS_DO=<what> says what becomes of the nth call:
 *     kill    the process is killed before it
 *     torn    half of the bytes are written, if it writes any, and the process is killed
 *     eio     it fails with EIO and changes nothing
 *     enospc  it fails with ENOSPC and changes nothing
 *
 * FAULTS_STALL=<file> holds back every sync below FAULTS_BELOW for as long as that file
 * is there, as a disk does that has stopped to answer. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum fault { NONE, KILL, TORN, FAIL };

static atomic_ulong counter = 0;
static const char *below = NULL;
static const char *stall = NULL;
static unsigned long at = 0;
static enum fault what = NONE;
static int failure = 0;
static int count_fd = -1;

__attribute__((constructor)) static void begin(void) {
    const char *count = getenv("FAULTS_COUNT"), *n = getenv("FAULTS_AT"), *kind = getenv("FAULTS_DO");
    below = getenv("FAULTS_BELOW");
    stall = getenv("FAULTS_STALL");
    if (count) count_fd = syscall(SYS_openat, AT_FDCWD, count, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (!n || !kind) return;
    at = strtoul(n, NULL, 10);
    what = strcmp(kind, "kill") == 0 ? KILL : strcmp(kind, "torn") == 0 ? TORN : FAIL;
    failure = strcmp(kind, "enospc") == 0 ? ENOSPC : EIO;
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static int is_below(const char *path) { return below && strncmp(path, below, strlen(below)) == 0; }

static int is_ours(int fd) {
    char link[64], path[PATH_MAX];
    struct stat stat;
    if (!below || fd == count_fd || fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return is_below(path);
}

/* What is to become of this call. Kills the process if that is it. */
static enum fault next(void) {
    unsigned long number = atomic_fetch_add(&counter, 1) + 1;
    if (count_fd >= 0 && syscall(SYS_pwrite64, count_fd, &number, sizeof number, 0) < 0) abort();
    if (number != at) return NONE;
    if (what == KILL) die();
    if (what == FAIL) errno = failure;
    return what;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* A call that writes no bytes: what is torn has happened. */
#define CHANGING(ours, call) \
    enum fault fault = (ours) ? next() : NONE; \
    if (fault == FAIL) return -1; \
    __typeof__(call) done = call; \
    if (fault == TORN) die(); \
    return done

#define WRITING(half, call) \
    enum fault fault = is_ours(fd) ? next() : NONE; \
    if (fault == FAIL) return -1; \
    if (fault == TORN) { \
        (void)!(half); \
        die(); \
    } \
    return call

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    WRITING(real(fd, data, size / 2), real(fd, data, size));
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t place) {
    REAL(pwrite);
    WRITING(real(fd, data, size / 2, place), real(fd, data, size, place));
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t place) {
    REAL(pwrite64);
    WRITING(real(fd, data, size / 2, place), real(fd, data, size, place));
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    WRITING(real(fd, parts, count / 2), real(fd, parts, count));
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t place) {
    REAL(pwritev);
    WRITING(real(fd, parts, count / 2, place), real(fd, parts, count, place));
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t place) {
    REAL(pwritev64);
    WRITING(real(fd, parts, count / 2, place), real(fd, parts, count, place));
}

static void hold_back(int fd) {
    struct timespec moment = {0, 10 * 1000 * 1000};
    if (!stall || !is_ours(fd)) return;
    while (access(stall, F_OK) == 0) nanosleep(&moment, NULL);
}

int fsync(int fd) {
    REAL(fsync);
    hold_back(fd);
    CHANGING(is_ours(fd), real(fd));
}

int fdatasync(int fd) {
    REAL(fdatasync);
    hold_back(fd);
    CHANGING(is_ours(fd), real(fd));
}

int sync_file_range(int fd, off64_t place, off64_t size, unsigned int flags) {
    REAL(sync_file_range);
    CHANGING(is_ours(fd), real(fd, place, size, flags));
}

int ftruncate(int fd, off_t size) {
    REAL(ftruncate);
    CHANGING(is_ours(fd), real(fd, size));
}

int ftruncate64(int fd, off64_t size) {
    REAL(ftruncate64);
    CHANGING(is_ours(fd), real(fd, size));
}

int fallocate(int fd, int mode, off_t place, off_t size) {
    REAL(fallocate);
    CHANGING(is_ours(fd), real(fd, mode, place, size));
}

int fallocate64(int fd, int mode, off64_t place, off64_t size) {
    REAL(fallocate64);
    CHANGING(is_ours(fd), real(fd, mode, place, size));
}

int rename(const char *from, const char *to) {
    REAL(rename);
    CHANGING(is_below(to), real(from, to));
}

int renameat(int from_at, const char *from, int to_at, const char *to) {
    REAL(renameat);
    CHANGING(is_below(to), real(from_at, from, to_at, to));
}

int unlink(const char *path) {
    REAL(unlink);
    CHANGING(is_below(path), real(path));
}

/* Directories are removed by these, relative to an open one. */
int unlinkat(int directory, const char *path, int flags) {
    REAL(unlinkat);
    CHANGING(is_below(path) || (below && path[0] != '/'), real(directory, path, flags));
}

int rmdir(const char *path) {
    REAL(rmdir);
    CHANGING(is_below(path), real(path));
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    CHANGING(is_below(path), real(path, mode));
}

int link(const char *from, const char *to) {
    REAL(link);
    CHANGING(is_below(to), real(from, to));
}

static mode_t mode_of(int flags, va_list more) {
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(more, mode_t) : 0;
}

#define OPENING(path, flags, call) \
    va_list more; \
    va_start(more, flags); \
    mode_t mode = mode_of(flags, more); \
    va_end(more); \
    CHANGING((flags & (O_CREAT | O_TRUNC)) && is_below(path), call)

int open(const char *path, int flags, ...) {
    REAL(open);
    OPENING(path, flags, real(path, flags, mode));
}

int open64(const char *path, int flags, ...) {
    REAL(open64);
    OPENING(path, flags, real(path, flags, mode));
}

int openat(int directory, const char *path, int flags, ...) {
    REAL(openat);
    OPENING(path, flags, real(directory, path, flags, mode));
}

int openat64(int directory, const char *path, int flags, ...) {
    REAL(openat64);
    OPENING(path, flags, real(directory, path, flags, mode));
}
