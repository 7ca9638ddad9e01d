/* Counts the file operations of a process below one folder, and makes one of them fail.
 *
 *     cc -shared -fPIC -O1 -o faults.so faults.c -ldl
 *     LD_PRELOAD=./faults.so python ...  # then call `arm` through ctypes
 *
 * The library replaces functions of libc, so it does not see raw system calls, writes through a
 * `FILE`, or memory maps. `strace -f -y` counts the same operations for a save and for a restore.
 * Linux only.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, KILL_BEFORE, KILL_AFTER, FAIL, FAIL_FROM };

static char root[4096];
static size_t root_length;
static int mode, code, log_file = -1, only_reads;
static long at;
static atomic_long counted;
static atomic_int armed;

/* Starts to count the reads, or the writes, below a folder. The call with number `first` (from 1)
 * is faulty: the process dies before or after it, or the call fails with `error`. */
void arm(const char *folder, const char *log, int reads, int what, long first, int error) {
    snprintf(root, sizeof root, "%s", folder);
    root_length = strlen(root);
    only_reads = reads, mode = what, at = first, code = error;
    if (log_file >= 0) syscall(SYS_close, log_file);
    log_file = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    atomic_store(&counted, 0);
    atomic_store(&armed, 1);
}

/* Stops counting, and returns the number of calls. */
long disarm(void) {
    atomic_store(&armed, 0);
    return atomic_load(&counted);
}

/* Writes the path of a descriptor, or of a path relative to one, into `text`. */
static void resolve(int folder, const char *path, char *text, size_t size) {
    text[0] = 0;
    if (path && path[0] == '/') {
        snprintf(text, size, "%s", path);
        return;
    }
    char link[64];
    snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, text, size - 1);
    text[length < 0 ? 0 : length] = 0;
    if (path && path[0] && length > 0) snprintf(text + length, size - length, "/%s", path);
}

static int is_below_root(const char *path) {
    return !strncmp(path, root, root_length) && (!path[root_length] || path[root_length] == '/');
}

static void die(void) { syscall(SYS_kill, (int)syscall(SYS_getpid), SIGKILL); }

/* Counts and logs a call, and returns what to do with it. */
static int enter(int reads, const char *name, int folder, const char *path) {
    if (!atomic_load(&armed) || reads != only_reads) return COUNT;
    int before = errno;
    char text[8192], line[9000];
    resolve(folder, path, text, sizeof text);
    errno = before;
    if (!is_below_root(text)) return COUNT;
    long number = atomic_fetch_add(&counted, 1) + 1;
    int length = snprintf(line, sizeof line, "%ld %s %s\n", number, name, text + root_length);
    syscall(SYS_write, log_file, line, length);
    if (mode == FAIL_FROM ? number < at : number != at) return COUNT;
    if (mode == KILL_BEFORE) die();
    return mode;
}

static int failed(int action) {
    if (action != FAIL && action != FAIL_FROM) return 0;
    errno = code;
    return 1;
}

/* Defines a function that calls `enter` before, and dies after, the function of libc. */
#define WRAP(type, failure, name, reads, folder, path, parameters, arguments) \
    type name parameters { \
        static type(*real) parameters; \
        if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name); \
        int action = enter(reads, #name, folder, path); \
        if (failed(action)) return failure; \
        type result = real arguments; \
        if (action == KILL_AFTER) die(); \
        return result; \
    }
#define WRITES(name, folder, path, parameters, arguments) \
    WRAP(int, -1, name, 0, folder, path, parameters, arguments)
#define READS(name, folder, path, parameters, arguments) \
    WRAP(int, -1, name, 1, folder, path, parameters, arguments)
#define MOVES(reads, name, parameters, arguments) \
    WRAP(ssize_t, -1, name, reads, fd, NULL, parameters, arguments)

WRITES(rename, AT_FDCWD, from, (const char *from, const char *to), (from, to))
WRITES(renameat, a, from, (int a, const char *from, int b, const char *to), (a, from, b, to))
WRITES(renameat2, a, from, (int a, const char *from, int b, const char *to, unsigned flags),
       (a, from, b, to, flags))
WRITES(mkdir, AT_FDCWD, path, (const char *path, mode_t bits), (path, bits))
WRITES(mkdirat, fd, path, (int fd, const char *path, mode_t bits), (fd, path, bits))
WRITES(rmdir, AT_FDCWD, path, (const char *path), (path))
WRITES(unlink, AT_FDCWD, path, (const char *path), (path))
WRITES(unlinkat, fd, path, (int fd, const char *path, int flags), (fd, path, flags))
WRITES(remove, AT_FDCWD, path, (const char *path), (path))
WRITES(link, AT_FDCWD, to, (const char *from, const char *to), (from, to))
WRITES(linkat, b, to, (int a, const char *from, int b, const char *to, int flags),
       (a, from, b, to, flags))
WRITES(symlink, AT_FDCWD, to, (const char *from, const char *to), (from, to))
WRITES(symlinkat, fd, to, (const char *from, int fd, const char *to), (from, fd, to))
WRITES(chmod, AT_FDCWD, path, (const char *path, mode_t bits), (path, bits))
WRITES(fchmod, fd, NULL, (int fd, mode_t bits), (fd, bits))
WRITES(utimensat, fd, path, (int fd, const char *path, const void *times, int flags),
       (fd, path, times, flags))
WRITES(futimens, fd, NULL, (int fd, const void *times), (fd, times))
WRITES(fsync, fd, NULL, (int fd), (fd))
WRITES(fdatasync, fd, NULL, (int fd), (fd))
WRITES(flock, fd, NULL, (int fd, int operation), (fd, operation))
WRITES(truncate, AT_FDCWD, path, (const char *path, off_t size), (path, size))
WRITES(truncate64, AT_FDCWD, path, (const char *path, off_t size), (path, size))
WRITES(ftruncate, fd, NULL, (int fd, off_t size), (fd, size))
WRITES(ftruncate64, fd, NULL, (int fd, off_t size), (fd, size))
WRITES(creat, AT_FDCWD, path, (const char *path, mode_t bits), (path, bits))
WRITES(creat64, AT_FDCWD, path, (const char *path, mode_t bits), (path, bits))
MOVES(0, write, (int fd, const void *data, size_t size), (fd, data, size))
MOVES(0, pwrite, (int fd, const void *data, size_t size, off_t from), (fd, data, size, from))
MOVES(0, pwrite64, (int fd, const void *data, size_t size, off_t from), (fd, data, size, from))
MOVES(0, writev, (int fd, const struct iovec *parts, int num), (fd, parts, num))
MOVES(0, pwritev, (int fd, const struct iovec *parts, int num, off_t from), (fd, parts, num, from))
MOVES(0, pwritev64, (int fd, const struct iovec *parts, int num, off_t from),
      (fd, parts, num, from))
MOVES(0, sendfile64, (int fd, int source, off_t *from, size_t size), (fd, source, from, size))
MOVES(1, read, (int fd, void *data, size_t size), (fd, data, size))
MOVES(1, pread, (int fd, void *data, size_t size, off_t from), (fd, data, size, from))
MOVES(1, pread64, (int fd, void *data, size_t size, off_t from), (fd, data, size, from))
MOVES(1, readv, (int fd, const struct iovec *parts, int num), (fd, parts, num))

#define STATS(suffix) \
    READS(stat##suffix, AT_FDCWD, path, (const char *path, void *found), (path, found)) \
    READS(lstat##suffix, AT_FDCWD, path, (const char *path, void *found), (path, found)) \
    READS(fstat##suffix, fd, NULL, (int fd, void *found), (fd, found)) \
    READS(fstatat##suffix, fd, path, (int fd, const char *path, void *found, int flags), \
          (fd, path, found, flags)) \
    READS(__xstat##suffix, AT_FDCWD, path, (int v, const char *path, void *found), \
          (v, path, found)) \
    READS(__lxstat##suffix, AT_FDCWD, path, (int v, const char *path, void *found), \
          (v, path, found)) \
    READS(__fxstat##suffix, fd, NULL, (int v, int fd, void *found), (v, fd, found)) \
    READS(__fxstatat##suffix, fd, path, (int v, int fd, const char *path, void *found, int flags), \
          (v, fd, path, found, flags))
STATS()
STATS(64)
READS(access, AT_FDCWD, path, (const char *path, int bits), (path, bits))
READS(faccessat, fd, path, (int fd, const char *path, int bits, int flags), (fd, path, bits, flags))
WRAP(struct dirent *, NULL, readdir, 1, dirfd(dir), NULL, (DIR *dir), (dir))
WRAP(struct dirent64 *, NULL, readdir64, 1, dirfd(dir), NULL, (DIR *dir), (dir))
WRAP(DIR *, NULL, opendir, 1, AT_FDCWD, path, (const char *path), (path))
WRAP(DIR *, NULL, fdopendir, 1, fd, NULL, (int fd), (fd))

/* A name that opens a file has an optional third argument. Files that may be created are writes. */
#define OPENS(name, folder, parameters, arguments) \
    int name parameters { \
        static int(*real) parameters; \
        if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t bits = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        int action = enter(!(flags & (O_CREAT | O_TRUNC)), #name, folder, path); \
        if (failed(action)) return -1; \
        int result = real arguments; \
        if (action == KILL_AFTER) die(); \
        return result; \
    }
OPENS(open, AT_FDCWD, (const char *path, int flags, ...), (path, flags, bits))
OPENS(open64, AT_FDCWD, (const char *path, int flags, ...), (path, flags, bits))
OPENS(openat, fd, (int fd, const char *path, int flags, ...), (fd, path, flags, bits))
OPENS(openat64, fd, (int fd, const char *path, int flags, ...), (fd, path, flags, bits))
READS(__open_2, AT_FDCWD, path, (const char *path, int flags), (path, flags))
READS(__openat_2, fd, path, (int fd, const char *path, int flags), (fd, path, flags))

static FILE *open_file(const char *name, const char *path, const char *how) {
    FILE *(*real)(const char *, const char *);
    *(void **)&real = dlsym(RTLD_NEXT, name);
    int action = enter(how[0] == 'r' && !strchr(how, '+'), name, AT_FDCWD, path);
    if (failed(action)) return NULL;
    FILE *result = real(path, how);
    if (action == KILL_AFTER) die();
    return result;
}
FILE *fopen(const char *path, const char *how) { return open_file("fopen", path, how); }
FILE *fopen64(const char *path, const char *how) { return open_file("fopen64", path, how); }

/* TensorStore locks files with fcntl. */
#define CONTROLS(name) \
    int name(int fd, int command, ...) { \
        static int (*real)(int, int, ...); \
        if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name); \
        va_list rest; \
        va_start(rest, command); \
        void *argument = va_arg(rest, void *); \
        va_end(rest); \
        int locks = command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || \
                    command == F_OFD_SETLKW; \
        int action = locks ? enter(0, #name, fd, NULL) : COUNT; \
        if (failed(action)) return -1; \
        int result = real(fd, command, argument); \
        if (action == KILL_AFTER) die(); \
        return result; \
    }
CONTROLS(fcntl)
CONTROLS(fcntl64)
