/* LD_PRELOAD shim: writes to FSYNC_LOG, in the order they happen, the writes and syncs of the database's log file.
 *
 * "W" a write to a file whose name ends in -wal, "S" a sync of it that returned. The program under test appends its
 * own lines ("A name") to the same file when a caller is answered; O_APPEND keeps one order over all processes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static ssize_t (*real_write)(int, const void *, size_t);

static int is_wal(int file)
{
    char link[64], path[1024];
    ssize_t size;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    size = readlink(link, path, sizeof path - 1);
    if (size < 4)
        return 0;
    path[size] = 0;
    return strcmp(path + size - 4, "-wal") == 0;
}

static void note(const char *line)
{
    static int log_file = -1;
    const char *path = getenv("FSYNC_LOG");
    if (!real_write)
        real_write = dlsym(RTLD_NEXT, "write");
    if (log_file < 0 && path)
        log_file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (log_file >= 0 && real_write(log_file, line, strlen(line)) < 0)
        abort();
}

ssize_t write(int file, const void *data, size_t size)
{
    if (!real_write)
        real_write = dlsym(RTLD_NEXT, "write");
    if (is_wal(file))
        note("W\n");
    return real_write(file, data, size);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at)
{
    ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite");
    if (is_wal(file))
        note("W\n");
    return real(file, data, size, at);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at)
{
    ssize_t (*real)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
    if (is_wal(file))
        note("W\n");
    return real(file, data, size, at);
}

int fsync(int file)
{
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    int result = real(file);
    if (result == 0 && is_wal(file))
        note("S\n");
    return result;
}

int fdatasync(int file)
{
    int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
    int result = real(file);
    if (result == 0 && is_wal(file))
        note("S\n");
    return result;
}
