/* Writes down in which order a process writes to its journal, syncs it, and
 * sends to its sockets. Loaded with LD_PRELOAD.
 *
 * Each call gets two numbers from one counter: one before it begins, one after
 * it has returned. An entry of the log is a line
 *     kind begin end file bytes
 * and then so many bytes as they were written. Kinds: `w` a write to a journal
 * file, `f` a sync of one or of a directory, `s` a send to a socket, `m` a new
 * directory. `file` is the inode of the journal file or of the directory, the
 * descriptor of the socket, or the inode of the directory in which the new one is;
 * then the bytes are its path.
 *
 * SYNC_ORDER_LOG names the log. SYNC_ORDER_HIDE_SYNCS=1 leaves the syncs out: to
 * whoever reads the log the process then looks like one that never syncs.
 * SYNC_ORDER_FAIL_AFTER=<file> lets every sync fail from the moment on at which
 * that file is there, as a broken disk does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_ulong counter = 1;
static int log_fd = -1;
static int hide_syncs = 0;
static const char *fail_after = NULL;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SYNC_ORDER_LOG");
    if (path) log_fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    hide_syncs = getenv("SYNC_ORDER_HIDE_SYNCS") != NULL;
    fail_after = getenv("SYNC_ORDER_FAIL_AFTER");
}

static unsigned long tick(void) { return atomic_fetch_add(&counter, 1); }

/* 'w' for a journal file, 'd' for a directory, 's' for a socket, 0 for what is of no interest. */
static char kind_of(int fd, unsigned long *file) {
    struct stat stat;
    char link[64], path[4096];
    if (log_fd < 0 || fstat(fd, &stat) != 0) return 0;
    if (S_ISSOCK(stat.st_mode)) {
        *file = (unsigned long)fd;
        return 's';
    }
    if (S_ISDIR(stat.st_mode)) {
        *file = stat.st_ino;
        return 'd';
    }
    if (!S_ISREG(stat.st_mode)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    *file = stat.st_ino;
    return strstr(path, "/journal/segment-") ? 'w' : 0;
}

/* One write, so that entries of several threads do not mix. */
static void note(char kind, unsigned long begin, unsigned long file, const struct iovec *parts, int count, ssize_t bytes) {
    char head[128];
    size_t room = bytes < 0 ? 0 : (size_t)bytes;
    int length = snprintf(head, sizeof head, "%c %lu %lu %lu %zu\n", kind, begin, tick(), file, room);
    char *entry = malloc((size_t)length + room + 1);
    if (!entry) abort();
    memcpy(entry, head, (size_t)length);
    size_t at = (size_t)length, left = room;
    for (int i = 0; i < count && left > 0; i++) {
        size_t part = parts[i].iov_len < left ? parts[i].iov_len : left;
        memcpy(entry + at, parts[i].iov_base, part);
        at += part;
        left -= part;
    }
    entry[at++] = '\n';
    if (syscall(SYS_write, log_fd, entry, at) != (ssize_t)at) abort();
    free(entry);
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define WRITING(call, parts, count) \
    unsigned long file = 0; \
    char kind = kind_of(fd, &file); \
    unsigned long begun = kind ? tick() : 0; \
    ssize_t done = call; \
    if (kind && done >= 0) note(kind, begun, file, parts, count, done); \
    return done

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    struct iovec part = {(void *)data, size};
    WRITING(real(fd, data, size), &part, 1);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    WRITING(real(fd, parts, count), parts, count);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    REAL(pwrite);
    struct iovec part = {(void *)data, size};
    WRITING(real(fd, data, size, at), &part, 1);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(pwrite64);
    struct iovec part = {(void *)data, size};
    WRITING(real(fd, data, size, at), &part, 1);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    REAL(pwritev);
    WRITING(real(fd, parts, count, at), parts, count);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) {
    REAL(pwritev64);
    WRITING(real(fd, parts, count, at), parts, count);
}

ssize_t send(int fd, const void *data, size_t size, int flags) {
    REAL(send);
    struct iovec part = {(void *)data, size};
    WRITING(real(fd, data, size, flags), &part, 1);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
    REAL(sendto);
    struct iovec part = {(void *)data, size};
    WRITING(real(fd, data, size, flags, to, length), &part, 1);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    REAL(sendmsg);
    WRITING(real(fd, message, flags), message->msg_iov, (int)message->msg_iovlen);
}

#define SYNCING(call) \
    unsigned long file = 0; \
    char kind = kind_of(fd, &file); \
    unsigned long begun = kind ? tick() : 0; \
    if (kind == 'w' && fail_after && access(fail_after, F_OK) == 0) { \
        errno = EIO; \
        return -1; \
    } \
    int done = call; \
    if ((kind == 'w' || kind == 'd') && done == 0 && !hide_syncs) note('f', begun, file, NULL, 0, 0); \
    return done

int fdatasync(int fd) {
    REAL(fdatasync);
    SYNCING(real(fd));
}

int fsync(int fd) {
    REAL(fsync);
    SYNCING(real(fd));
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    unsigned long begun = tick();
    int done = real(path, mode);
    char parent[4096];
    struct stat stat_of;
    size_t length = strlen(path);
    if (log_fd < 0 || done != 0 || length + sizeof "/.." > sizeof parent) return done;
    memcpy(parent, path, length);
    memcpy(parent + length, "/..", sizeof "/..");
    if (stat(parent, &stat_of) != 0) return done;
    struct iovec part = {(void *)path, length};
    note('m', begun, (unsigned long)stat_of.st_ino, &part, 1, (ssize_t)length);
    return done;
}
