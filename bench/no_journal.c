/* Preloaded into a server, this makes what it writes to segments go nowhere, at no cost: what the
 * kernel's part of storing costs is the difference. For measuring only: such a server stores nothing. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static const char SUFFIX[] = ".ndjson.zst";

/* Writes are of whole batches, so that asking for the name each time does not show. */
static int is_segment(int descriptor)
{
    char link[32], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path);
    ssize_t suffix = sizeof SUFFIX - 1;
    return length > suffix && memcmp(path + length - suffix, SUFFIX, (size_t)suffix) == 0;
}

ssize_t write(int descriptor, const void *bytes, size_t length)
{
    if (is_segment(descriptor))
        return (ssize_t)length;
    return syscall(SYS_write, descriptor, bytes, length);
}

ssize_t writev(int descriptor, const struct iovec *parts, int count)
{
    if (!is_segment(descriptor))
        return syscall(SYS_writev, descriptor, parts, count);
    ssize_t length = 0;
    for (int each = 0; each < count; each++)
        length += (ssize_t)parts[each].iov_len;
    return length;
}
