/* A disk that fails on command. Preloaded into the server, it looks at every call that changes
 * files below one directory, and kills the process there, or lets the call fail, wait, lie or do
 * half of it, as the rules in the control file say. It also notes there what a power cut would
 * leave of each file. faulty_disk.py writes the rules; both know the layout of the control file.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum call { CREATE = 1, WRITE, FDATASYNC, FSYNC, TRUNCATE, RENAME, UNLINK, MKDIR };
enum when { BEFORE, WITHIN, AFTER };
enum action { KILL = 1, FAIL, HOLD, DELAY, SKIP, LOSE };

enum { RULES = 16, FILES = 4096 };

struct rule {
    _Atomic uint32_t call; /* 0: this rule is none */
    uint32_t when;
    uint32_t action;
    uint32_t value; /* FAIL, LOSE: errno. DELAY: milliseconds. */
    uint64_t first; /* the first hit that is acted on, counted from 0 over all processes */
    uint64_t count; /* and how many are */
    _Atomic uint64_t hits;
    _Atomic uint64_t process; /* the one that was acted on last; or 0 */
    char pattern[80];         /* of the path, with wildcards as in a shell; `*` takes `/` too */
};

struct file {
    _Atomic uint64_t inode; /* 0: free */
    _Atomic uint64_t synced_bytes;
    /* What a failed sync was for is clean in the kernel's eyes: it is not on the disk and no later
     * sync brings it there, unless it is written again. */
    _Atomic uint64_t forgotten_from, forgotten_to;
    _Atomic uint64_t directory; /* inode of the directory that does not durably name it; or 0 */
};

struct control {
    char directory[1024];
    char kept[1024]; /* where unlinked segments go instead, with `+` for each `/`; or empty */
    struct rule rules[RULES];
    struct file files[FILES]; /* those created or written since; hashed by inode */
};

static struct control *control;

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("FAULTY_DISK");
    int descriptor = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    if (descriptor < 0)
        return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (mapped != MAP_FAILED)
        control = mapped;
}

/* --- paths --- */

static int is_below(const char *path) {
    size_t length = strlen(control->directory);
    return strncmp(path, control->directory, length) == 0 && path[length] == '/';
}

/* The path of a file or directory that is open, if it is below the directory. */
static int is_watched(int descriptor, char path[PATH_MAX], struct stat *status) {
    if (!control || fstat(descriptor, status) != 0)
        return 0;
    if (!S_ISREG(status->st_mode) && !S_ISDIR(status->st_mode))
        return 0;
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0)
        return 0;
    path[length] = '\0';
    return is_below(path);
}

/* --- what a power cut would leave --- */

static struct file *noted(uint64_t inode, int insert) {
    for (uint64_t step = 0; step < FILES; step++) {
        struct file *file = &control->files[(inode + step) % FILES];
        uint64_t found = atomic_load(&file->inode);
        if (found == 0 && insert && atomic_compare_exchange_strong(&file->inode, &found, inode))
            return file;
        if (found == inode)
            return file;
        if (found == 0)
            return NULL;
    }
    return NULL;
}

/* A file from before is durable as it is found. */
static void note_written(const struct stat *status) {
    if (noted(status->st_ino, 0))
        return;
    struct file *file = noted(status->st_ino, 1);
    if (file)
        atomic_store(&file->synced_bytes, (uint64_t)status->st_size);
}

static void note_created(int descriptor, const char *path) {
    char parent[PATH_MAX];
    struct stat status, above;
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    if (!slash || fstat(descriptor, &status) != 0)
        return;
    *slash = '\0';
    struct file *file = stat(parent, &above) == 0 ? noted(status.st_ino, 1) : NULL;
    if (file) {
        atomic_store(&file->synced_bytes, 0);
        atomic_store(&file->forgotten_to, 0);
        atomic_store(&file->directory, above.st_ino);
    }
}

static void note_synced(const struct stat *status) {
    if (S_ISDIR(status->st_mode)) {
        for (struct file *file = control->files; file < control->files + FILES; file++)
            if (atomic_load(&file->directory) == status->st_ino)
                atomic_store(&file->directory, 0);
        return;
    }
    struct file *file = noted(status->st_ino, 0);
    if (file && atomic_load(&file->forgotten_from) >= atomic_load(&file->forgotten_to))
        atomic_store(&file->synced_bytes, (uint64_t)status->st_size);
}

static void note_forgotten(const struct stat *status) {
    struct file *file = noted(status->st_ino, 0);
    if (!file)
        return;
    atomic_store(&file->forgotten_from, atomic_load(&file->synced_bytes));
    atomic_store(&file->forgotten_to, (uint64_t)status->st_size);
}

static void note_written_again(uint64_t inode, uint64_t from, uint64_t to) {
    struct file *file = noted(inode, 0);
    if (file && from <= atomic_load(&file->forgotten_from))
        atomic_store(&file->forgotten_from, to);
}

static void note_truncated(uint64_t inode, uint64_t length) {
    struct file *file = noted(inode, 0);
    if (file && atomic_load(&file->synced_bytes) > length)
        atomic_store(&file->synced_bytes, length);
    if (file && atomic_load(&file->forgotten_to) > length)
        atomic_store(&file->forgotten_to, length);
}

/* As the kernel may do with pages that it could not write: they are clean now, and gone. */
static void lose_unsynced(int descriptor, const struct stat *status) {
    struct file *file = noted(status->st_ino, 0);
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    /* Not the descriptor itself: it appends, whatever the offset. */
    int other = (int)syscall(SYS_openat, AT_FDCWD, link, O_WRONLY | O_CLOEXEC);
    if (!file || other < 0)
        return;
    static const char zeros[4096];
    off_t at = (off_t)atomic_load(&file->synced_bytes);
    while (at < status->st_size) {
        size_t left = (size_t)(status->st_size - at);
        ssize_t done = syscall(SYS_pwrite64, other, zeros,
                               left < sizeof zeros ? left : sizeof zeros, at);
        if (done <= 0)
            break;
        at += done;
    }
    close(other);
}

/* --- rules --- */

static void sleep_milliseconds(long milliseconds) {
    struct timespec pause = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

/* Count a hit for every rule that it meets; return the one that acts on it. */
static struct rule *due(enum call call, enum when when, const char *path) {
    struct rule *found = NULL;
    for (struct rule *rule = control->rules; rule < control->rules + RULES; rule++) {
        if (atomic_load(&rule->call) != call || rule->when != when)
            continue;
        if (fnmatch(rule->pattern, path, 0) != 0)
            continue;
        uint64_t hit = atomic_fetch_add(&rule->hits, 1);
        if (!found && hit >= rule->first && hit - rule->first < rule->count)
            found = rule;
    }
    if (found)
        atomic_store(&found->process, (uint64_t)getpid());
    return found;
}

/* What is to become of the call: 0 it is made, or its result stays; 1 it is not made and said
 * to have worked; -1 it fails, with errno. */
static int carry_out(struct rule *rule, enum call call) {
    if (!rule)
        return 0;
    switch (rule->action) {
    case KILL:
        kill(getpid(), SIGKILL);
        for (;;)
            pause();
    case HOLD:
        while (atomic_load(&rule->call) == call)
            sleep_milliseconds(1);
        return 0;
    case DELAY:
        sleep_milliseconds((long)rule->value);
        return 0;
    case SKIP:
        return 1;
    default:
        errno = (int)rule->value;
        return -1;
    }
}

static int meet(enum call call, enum when when, const char *path) {
    return carry_out(due(call, when, path), call);
}

/* The result of a call that was made. */
static int conclude(enum call call, const char *path, int result) {
    int error = errno;
    if (result >= 0 && meet(call, AFTER, path) < 0)
        return -1;
    errno = error;
    return result;
}

/* --- the calls --- */

/* What the kernel says of processors and disks that nobody waits for. */
static int no_pressure(void) {
    static const char text[] = "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
    int descriptor = memfd_create("pressure", MFD_CLOEXEC);
    if (descriptor >= 0)
        (void)!syscall(SYS_pwrite64, descriptor, text, sizeof text - 1, 0);
    return descriptor;
}

static int open_file(const char *path, int flags, mode_t mode) {
    struct stat status;
    if (control && strncmp(path, "/proc/pressure/", 15) == 0)
        return no_pressure();
    int creates = control && flags & O_CREAT && is_below(path) && stat(path, &status) != 0;
    if (creates && meet(CREATE, BEFORE, path) < 0)
        return -1;
    int descriptor = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (!creates || descriptor < 0)
        return descriptor;
    note_created(descriptor, path);
    int result = conclude(CREATE, path, descriptor);
    if (result < 0)
        syscall(SYS_close, descriptor);
    return result;
}

/* Segments are sealed and recompressed under load too: the machine counts as idle, and the thread
 * that does it as one like others. */
int setpriority(__priority_which_t which, id_t who, int priority) {
    return control ? 0 : (int)syscall(SYS_setpriority, which, who, priority);
}

int sched_setscheduler(pid_t thread, int policy, const struct sched_param *parameter) {
    return control ? 0 : (int)syscall(SYS_sched_setscheduler, thread, policy, parameter);
}

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...) {                                                   \
        va_list more;                                                                              \
        va_start(more, flags);                                                                     \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0;                  \
        va_end(more);                                                                              \
        return open_file(path, flags, mode);                                                       \
    }
OPEN(open)
OPEN(open64)

static size_t length_of(const struct iovec *parts, int count) {
    size_t length = 0;
    for (int part = 0; part < count; part++)
        length += parts[part].iov_len;
    return length;
}

/* Write the first half only, through a copy. */
static ssize_t write_half(int descriptor, const struct iovec *parts, int count) {
    size_t left = length_of(parts, count) / 2, filled = 0;
    char *half = malloc(left ? left : 1);
    if (!half)
        return -1;
    for (int part = 0; part < count && filled < left; part++) {
        size_t length = parts[part].iov_len < left - filled ? parts[part].iov_len : left - filled;
        memcpy(half + filled, parts[part].iov_base, length);
        filled += length;
    }
    ssize_t written = syscall(SYS_write, descriptor, half, filled);
    free(half);
    return written;
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    char path[PATH_MAX];
    struct stat status;
    if (!is_watched(descriptor, path, &status))
        return syscall(SYS_writev, descriptor, parts, count);
    int verdict = meet(WRITE, BEFORE, path);
    if (verdict != 0)
        return verdict < 0 ? -1 : (ssize_t)length_of(parts, count);
    note_written(&status);
    struct rule *rule = due(WRITE, WITHIN, path);
    if (rule) {
        ssize_t written = write_half(descriptor, parts, count);
        int error = errno;
        carry_out(rule, WRITE);
        errno = error;
        return written;
    }
    ssize_t written = syscall(SYS_writev, descriptor, parts, count);
    return conclude(WRITE, path, written < 0 ? -1 : 0) < 0 ? -1 : written;
}

ssize_t write(int descriptor, const void *bytes, size_t length) {
    if (!control)
        return syscall(SYS_write, descriptor, bytes, length);
    struct iovec part = {(void *)bytes, length};
    return writev(descriptor, &part, 1);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t length, off64_t offset) {
    char path[PATH_MAX];
    struct stat status;
    ssize_t written = syscall(SYS_pwrite64, descriptor, bytes, length, offset);
    if (written > 0 && is_watched(descriptor, path, &status))
        note_written_again(status.st_ino, (uint64_t)offset, (uint64_t)(offset + written));
    return written;
}

static int sync_file(enum call call, long number, int descriptor) {
    char path[PATH_MAX];
    struct stat status;
    if (!is_watched(descriptor, path, &status))
        return (int)syscall(number, descriptor);
    struct rule *rule = due(call, BEFORE, path);
    int verdict = carry_out(rule, call);
    if (verdict < 0) {
        note_forgotten(&status);
        if (rule->action == LOSE)
            lose_unsynced(descriptor, &status);
        errno = (int)rule->value;
    }
    if (verdict != 0)
        return verdict < 0 ? -1 : 0;
    int result = (int)syscall(number, descriptor);
    if (result == 0)
        note_synced(&status);
    return conclude(call, path, result);
}

int fdatasync(int descriptor) { return sync_file(FDATASYNC, SYS_fdatasync, descriptor); }
int fsync(int descriptor) { return sync_file(FSYNC, SYS_fsync, descriptor); }

int ftruncate64(int descriptor, off64_t length) {
    char path[PATH_MAX];
    struct stat status;
    if (!is_watched(descriptor, path, &status))
        return (int)syscall(SYS_ftruncate, descriptor, length);
    if (meet(TRUNCATE, BEFORE, path) < 0)
        return -1;
    int result = (int)syscall(SYS_ftruncate, descriptor, length);
    if (result == 0)
        note_truncated(status.st_ino, (uint64_t)length);
    return conclude(TRUNCATE, path, result);
}

int ftruncate(int descriptor, off_t length) { return ftruncate64(descriptor, length); }

int rename(const char *from, const char *to) {
    int watched = control && is_below(to);
    if (watched && meet(RENAME, BEFORE, to) < 0)
        return -1;
    int result = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    return watched ? conclude(RENAME, to, result) : result;
}

static int remove_file(const char *path) {
    char kept[PATH_MAX];
    if (!control || !control->kept[0] || !is_below(path) ||
        fnmatch("*.ndjson.zst", path, 0) != 0)
        return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    const char *name = path + strlen(control->directory) + 1;
    int length = snprintf(kept, sizeof kept, "%s/", control->kept);
    snprintf(kept + length, sizeof kept - (size_t)length, "%s", name);
    for (char *slash = kept + length; (slash = strchr(slash, '/'));)
        *slash = '+';
    return (int)syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, kept, 0);
}

int unlink(const char *path) {
    int watched = control && is_below(path);
    if (watched && meet(UNLINK, BEFORE, path) < 0)
        return -1;
    int result = remove_file(path);
    return watched ? conclude(UNLINK, path, result) : result;
}

int mkdir(const char *path, mode_t mode) {
    int watched = control && is_below(path);
    if (watched && meet(MKDIR, BEFORE, path) < 0)
        return -1;
    int result = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    return watched ? conclude(MKDIR, path, result) : result;
}
