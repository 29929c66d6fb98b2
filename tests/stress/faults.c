/* Loaded before the C library, this makes the Nth file operation below a folder fail, be cut short, or kill the process.

   cc -shared -fPIC -o faults.so faults.c -ldl

   Counted are operations that change files: open for writing, write, fsync, rename, unlink, rmdir, mkdir, truncate.
   A write that is cut short writes half, and leaves the disk full: no later write succeeds.
   Nothing is counted before `arm` is called. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { COUNT, FAIL, CUT, KILL };

static char folder[PATH_MAX];
static long number;
static atomic_long count;
static atomic_int is_full;
static enum kind kind;
static char are_writes[100000];

void arm(const char *path, int what, long at) {
    strncpy(folder, path, sizeof folder - 1);
    kind = what, number = at, count = 0;
}

long operations(void) { return count; }

int is_a_write(long at) { return are_writes[at]; }

static int is_below(const char *path) {
    char full[2 * PATH_MAX], cwd[PATH_MAX];
    if (!*folder || !path) return 0;
    if (*path == '/') snprintf(full, sizeof full, "%s", path);
    else snprintf(full, sizeof full, "%s/%s", getcwd(cwd, sizeof cwd) ? cwd : "", path);
    return strncmp(full, folder, strlen(folder)) == 0 && full[strlen(folder)] == '/';
}

static int is_at(int directory, const char *path) {
    char link[64], full[PATH_MAX], joined[2 * PATH_MAX];
    if (directory == AT_FDCWD || *path == '/') return is_below(path);
    snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    ssize_t length = readlink(link, full, sizeof full - 1);
    if (length < 0) return 0;
    full[length] = 0;
    snprintf(joined, sizeof joined, "%s/%s", full, path);
    return is_below(joined);
}

static int is_open_below(int descriptor) {
    char link[64], full[PATH_MAX];
    if (!*folder || descriptor < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, full, sizeof full - 1);
    if (length < 0) return 0;
    full[length] = 0;
    return *full == '/' && is_below(full);       /* a pipe's is no path */
}

/* Whether the operation is the Nth: then it is to fail, or to be cut, unless the process is killed here. */
static int is_fault(int below) {
    if (!below || ++count != number || kind == COUNT) return 0;
    if (kind == KILL) raise(SIGKILL);
    return 1;
}

/* How many of a write's bytes are to be written: all, or fewer with ENOSPC. */
static size_t n_writable(int below, size_t size) {
    if (!below) return size;
    long at = ++count;
    if (at < (long)sizeof are_writes) are_writes[at] = 1;
    if (at == number && kind == KILL) raise(SIGKILL);
    int is_cut = at == number && kind == CUT, fails = at == number && kind == FAIL;
    size_t n = is_full || fails ? 0 : is_cut ? size / 2 : size;
    if (is_cut) is_full = 1;
    if (n < size) errno = ENOSPC;
    return n;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAULT(below, error, result) if (is_fault(below)) { errno = error; return result; }

int open(const char *path, int flags, ...) {
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest);
    FAULT((flags & (O_WRONLY | O_RDWR | O_CREAT)) && is_below(path), ENOSPC, -1)
    return NEXT(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest);
    FAULT((flags & (O_WRONLY | O_RDWR | O_CREAT)) && is_below(path), ENOSPC, -1)
    return NEXT(open64)(path, flags, mode);
}

FILE *fopen(const char *path, const char *mode) {
    FAULT(*mode != 'r' && is_below(path), ENOSPC, NULL)
    return NEXT(fopen)(path, mode);
}

FILE *fopen64(const char *path, const char *mode) {
    FAULT(*mode != 'r' && is_below(path), ENOSPC, NULL)
    return NEXT(fopen64)(path, mode);
}

ssize_t write(int descriptor, const void *bytes, size_t size) {
    size_t n = n_writable(is_open_below(descriptor), size);
    return n || !size ? NEXT(write)(descriptor, bytes, n) : -1;
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t size, off64_t offset) {
    size_t n = n_writable(is_open_below(descriptor), size);
    return n || !size ? NEXT(pwrite64)(descriptor, bytes, n, offset) : -1;
}

ssize_t writev(int descriptor, const struct iovec *parts, int n_parts) {
    size_t n = n_writable(is_open_below(descriptor), n_parts);
    return n || !n_parts ? NEXT(writev)(descriptor, parts, n) : -1;
}

size_t fwrite(const void *bytes, size_t size, size_t n, FILE *file) {
    return NEXT(fwrite)(bytes, size, n_writable(is_open_below(fileno(file)), n), file);
}

int fflush(FILE *file) {
    FAULT(file && is_open_below(fileno(file)), EIO, EOF)
    return NEXT(fflush)(file);
}

int fdatasync(int descriptor) { FAULT(is_open_below(descriptor), EIO, -1) return NEXT(fdatasync)(descriptor); }

int fsync(int descriptor) { FAULT(is_open_below(descriptor), EIO, -1) return NEXT(fsync)(descriptor); }

int ftruncate64(int descriptor, off64_t size) {
    FAULT(is_open_below(descriptor), EIO, -1)
    return NEXT(ftruncate64)(descriptor, size);
}

int rename(const char *from, const char *to) { FAULT(is_below(to), EIO, -1) return NEXT(rename)(from, to); }

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    FAULT(is_at(to_folder, to), EIO, -1)
    return NEXT(renameat)(from_folder, from, to_folder, to);
}

int unlink(const char *path) { FAULT(is_below(path), EIO, -1) return NEXT(unlink)(path); }

int unlinkat(int directory, const char *path, int flags) {
    FAULT(is_at(directory, path), EIO, -1)
    return NEXT(unlinkat)(directory, path, flags);
}

int rmdir(const char *path) { FAULT(is_below(path), EIO, -1) return NEXT(rmdir)(path); }

int mkdir(const char *path, mode_t mode) { FAULT(is_below(path), ENOSPC, -1) return NEXT(mkdir)(path, mode); }
