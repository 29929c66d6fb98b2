/* Loaded before the C library, this makes the Nth file operation below a folder fail, be cut short, or kill the process.

   cc -shared -fPIC -o faults.so faults.c -ldl

   Counted are operations that change files: open for writing, write, fsync, rename, unlink, rmdir, mkdir, truncate.
   Nothing is counted before `arm` is called. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { COUNT, FAIL, CUT, KILL };

static char folder[PATH_MAX];
static long number, count;
static enum kind kind;

void arm(const char *path, int what, long at) {
    strncpy(folder, path, sizeof folder - 1);
    kind = what, number = at, count = 0;
}

long operations(void) { return count; }

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
    return is_below(full);
}

/* Whether the operation is the Nth: then it is to fail, or to be cut, unless the process is killed here. */
static int is_fault(int below) {
    if (!below || ++count != number || kind == COUNT) return 0;
    if (kind == KILL) raise(SIGKILL);
    return 1;
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
    if (is_fault(is_open_below(descriptor))) {
        if (kind == CUT && size > 1) return NEXT(write)(descriptor, bytes, size / 2);
        errno = ENOSPC;
        return -1;
    }
    return NEXT(write)(descriptor, bytes, size);
}

size_t fwrite(const void *bytes, size_t size, size_t n, FILE *file) {
    if (is_fault(is_open_below(fileno(file)))) {
        errno = ENOSPC;
        return kind == CUT ? NEXT(fwrite)(bytes, size, n / 2, file) : 0;
    }
    return NEXT(fwrite)(bytes, size, n, file);
}

int fflush(FILE *file) {
    FAULT(file && is_open_below(fileno(file)), EIO, EOF)
    return NEXT(fflush)(file);
}

int fsync(int descriptor) { FAULT(is_open_below(descriptor), EIO, -1) return NEXT(fsync)(descriptor); }

int ftruncate64(int descriptor, off64_t size) {
    FAULT(is_open_below(descriptor), EIO, -1)
    return NEXT(ftruncate64)(descriptor, size);
}

int rename(const char *from, const char *to) { FAULT(is_below(to), EIO, -1) return NEXT(rename)(from, to); }

int unlink(const char *path) { FAULT(is_below(path), EIO, -1) return NEXT(unlink)(path); }

int unlinkat(int directory, const char *path, int flags) {
    FAULT(is_at(directory, path), EIO, -1)
    return NEXT(unlinkat)(directory, path, flags);
}

int rmdir(const char *path) { FAULT(is_below(path), EIO, -1) return NEXT(rmdir)(path); }

int mkdir(const char *path, mode_t mode) { FAULT(is_below(path), ENOSPC, -1) return NEXT(mkdir)(path, mode); }
