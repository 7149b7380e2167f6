/* Makes one system call fail: FAIL_CALL names it, FAIL_ERRNO is the error, FAIL_BELOW a part of its path.
   Calls on a descriptor have no path and always fail. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int chosen(const char *call, const char *path) {
    const char *wanted = getenv("FAIL_CALL"), *below = getenv("FAIL_BELOW");
    return wanted && !strcmp(wanted, call) && (!path || !below || strstr(path, below));
}

static int failure(void) {
    errno = atoi(getenv("FAIL_ERRNO"));
    return -1;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int flock(int fd, int operation) {
    return chosen("flock", NULL) ? failure() : NEXT(flock)(fd, operation);
}

int symlink(const char *target, const char *path) {
    return chosen("symlink", path) ? failure() : NEXT(symlink)(target, path);
}

int link(const char *from, const char *to) {
    return chosen("link", to) ? failure() : NEXT(link)(from, to);
}

int linkat(int fromfd, const char *from, int tofd, const char *to, int flags) {
    return chosen("link", to) ? failure() : NEXT(linkat)(fromfd, from, tofd, to, flags);
}

int rename(const char *from, const char *to) {
    return chosen("rename", to) ? failure() : NEXT(rename)(from, to);
}

int mkdir(const char *path, mode_t mode) {
    return chosen("mkdir", path) ? failure() : NEXT(mkdir)(path, mode);
}

int unlink(const char *path) {
    return chosen("unlink", path) ? failure() : NEXT(unlink)(path);
}

int fsync(int fd) {
    struct stat found;
    int directory = !fstat(fd, &found) && S_ISDIR(found.st_mode);
    return chosen(directory ? "fsync-directory" : "fsync", NULL) ? failure() : NEXT(fsync)(fd);
}

int ftruncate(int fd, off_t length) {
    return chosen("ftruncate", NULL) ? failure() : NEXT(ftruncate)(fd, length);
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    int shared = fd >= 0 && (flags & MAP_SHARED) && (protection & PROT_WRITE);
    if (shared && chosen("mmap", NULL)) {
        failure();
        return MAP_FAILED;
    }
    return NEXT(mmap)(address, length, protection, flags, fd, offset);
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    return mmap(address, length, protection, flags, fd, offset);
}

int fcntl64(int fd, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    int locks = command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW;
    if (locks && chosen("fcntl", NULL)) return failure();
    return NEXT(fcntl64)(fd, command, argument);
}

int fcntl(int fd, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return fcntl64(fd, command, argument);
}

int statvfs(const char *path, struct statvfs *found) {
    if (chosen("statvfs", path)) return failure();
    int result = NEXT(statvfs)(path, found);
    if (!result && chosen("statvfs-zero", path)) found->f_blocks = found->f_bfree = found->f_bavail = 0;
    return result;
}

int statvfs64(const char *path, struct statvfs64 *found) {
    return statvfs(path, (struct statvfs *)found);
}
