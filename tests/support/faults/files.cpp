// Counts the calls of the C library for files below GPTMOE_FAULTS_FOLDER, and makes call number GPTMOE_FAULTS_AT go
// wrong.
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <glob.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "support/faults/plan.h"

namespace {

using gptmoe::faults::Act;
using gptmoe::faults::plan;
using gptmoe::faults::reached;

// The C library's own function.
template <typename Function>
Function* original(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

// For each file descriptor: whether its file was opened below the folder.
constexpr int kMaxFiles = 1 << 16;
std::atomic<bool> counted[kMaxFiles];

void count_file(int fd, bool yes) {
  if (fd >= 0 && fd < kMaxFiles) counted[fd] = yes;
}

// Writes the absolute path of `path` to `absolute`, and returns whether it is below the folder of the plan. `folder` is
// the descriptor of the folder that `path` is relative to.
bool below(int folder, const char* path, char (&absolute)[PATH_MAX]) {
  if (!plan().record || !path) return false;
  int length = 0;
  if (path[0] != '/') {
    char link[64] = "/proc/self/cwd";
    if (folder != AT_FDCWD) std::snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    char start[PATH_MAX];
    static const auto readlink_ = original<decltype(readlink)>("readlink");
    const ssize_t n = readlink_(link, start, sizeof start - 1);
    if (n < 0) return false;
    start[n] = '\0';
    length = std::snprintf(absolute, sizeof absolute, "%s/%s", start, path);
  } else {
    length = std::snprintf(absolute, sizeof absolute, "%s", path);
  }
  const size_t prefix = std::strlen(plan().folder);
  return length > 0 && std::strncmp(absolute, plan().folder, prefix) == 0;
}

// Counts a call for a path and returns whether it must fail. If so, sets errno.
bool fails(const char* name, const char* path, int folder = AT_FDCWD) {
  const int before = errno;
  char absolute[PATH_MAX];
  const bool now = below(folder, path, absolute) && reached(name, absolute) && plan().act == Act::fail;
  errno = now ? plan().error : before;
  return now;
}

// Counts a call for an open file and returns what must happen to it.
Act act_on(const char* name, int fd) {
  if (fd < 0 || fd >= kMaxFiles || !counted[fd]) return Act::none;
  const int before = errno;
  char link[64], path[PATH_MAX] = "";
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  static const auto readlink_ = original<decltype(readlink)>("readlink");
  if (const ssize_t n = readlink_(link, path, sizeof path - 1); n >= 0) path[n] = '\0';
  const Act act = reached(name, path) ? plan().act : Act::none;
  errno = act == Act::fail ? plan().error : before;
  return act;
}

size_t cut(Act act, size_t bytes) { return act == Act::cut_short && bytes > 1 ? bytes / 2 : bytes; }

template <typename Open>
int opened(const char* name, int folder, const char* path, Open open) {
  char absolute[PATH_MAX];
  const bool ours = below(folder, path, absolute);
  if (ours && reached(name, absolute) && plan().act == Act::fail) {
    errno = plan().error;
    return -1;
  }
  const int fd = open();
  count_file(fd, ours);
  return fd;
}

mode_t mode_of(int flags, va_list& rest) {
  return flags & (O_CREAT | O_TMPFILE) ? static_cast<mode_t>(va_arg(rest, int)) : 0;
}

template <typename Open>
FILE* opened_stream(const char* path, Open open) {
  char absolute[PATH_MAX];
  const bool ours = below(AT_FDCWD, path, absolute);
  if (ours && reached("fopen", absolute) && plan().act == Act::fail) {
    errno = plan().error;
    return nullptr;
  }
  FILE* file = open();
  if (file) count_file(fileno(file), ours);
  return file;
}

}  // namespace

// The names and types are the C library's.
extern "C" {

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = mode_of(flags, rest);
  va_end(rest);
  static const auto next = original<int(const char*, int, ...)>("open");
  return opened("open", AT_FDCWD, path, [&] { return next(path, flags, mode); });
}

int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = mode_of(flags, rest);
  va_end(rest);
  static const auto next = original<int(const char*, int, ...)>("open64");
  return opened("open", AT_FDCWD, path, [&] { return next(path, flags, mode); });
}

int openat(int folder, const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = mode_of(flags, rest);
  va_end(rest);
  static const auto next = original<int(int, const char*, int, ...)>("openat");
  return opened("openat", folder, path, [&] { return next(folder, path, flags, mode); });
}

int creat(const char* path, mode_t mode) {
  static const auto next = original<int(const char*, mode_t)>("creat");
  return opened("creat", AT_FDCWD, path, [&] { return next(path, mode); });
}

FILE* fopen(const char* path, const char* mode) {
  static const auto next = original<FILE*(const char*, const char*)>("fopen");
  return opened_stream(path, [&] { return next(path, mode); });
}

FILE* fopen64(const char* path, const char* mode) {
  static const auto next = original<FILE*(const char*, const char*)>("fopen64");
  return opened_stream(path, [&] { return next(path, mode); });
}

int close(int fd) {
  static const auto next = original<int(int)>("close");
  const Act act = act_on("close", fd);
  count_file(fd, false);
  const int code = next(fd);  // Linux closes the file even if it reports an error
  if (act != Act::fail) return code;
  errno = plan().error;
  return -1;
}

int fclose(FILE* file) {
  static const auto next = original<int(FILE*)>("fclose");
  const int fd = fileno(file);
  const Act act = act_on("fclose", fd);
  count_file(fd, false);
  const int code = next(file);
  if (act != Act::fail) return code;
  errno = plan().error;
  return EOF;
}

ssize_t read(int fd, void* to, size_t bytes) {
  static const auto next = original<ssize_t(int, void*, size_t)>("read");
  const Act act = act_on("read", fd);
  return act == Act::fail ? -1 : next(fd, to, cut(act, bytes));
}

ssize_t pread(int fd, void* to, size_t bytes, off_t at) {
  static const auto next = original<ssize_t(int, void*, size_t, off_t)>("pread");
  const Act act = act_on("pread", fd);
  return act == Act::fail ? -1 : next(fd, to, cut(act, bytes), at);
}

ssize_t pread64(int fd, void* to, size_t bytes, off64_t at) { return pread(fd, to, bytes, at); }

ssize_t readv(int fd, const iovec* parts, int count) {
  static const auto next = original<ssize_t(int, const iovec*, int)>("readv");
  const Act act = act_on("readv", fd);
  return act == Act::fail ? -1 : next(fd, parts, static_cast<int>(cut(act, static_cast<size_t>(count))));
}

ssize_t write(int fd, const void* from, size_t bytes) {
  static const auto next = original<ssize_t(int, const void*, size_t)>("write");
  const Act act = act_on("write", fd);
  return act == Act::fail ? -1 : next(fd, from, cut(act, bytes));
}

ssize_t pwrite(int fd, const void* from, size_t bytes, off_t at) {
  static const auto next = original<ssize_t(int, const void*, size_t, off_t)>("pwrite");
  const Act act = act_on("pwrite", fd);
  return act == Act::fail ? -1 : next(fd, from, cut(act, bytes), at);
}

ssize_t pwrite64(int fd, const void* from, size_t bytes, off64_t at) { return pwrite(fd, from, bytes, at); }

ssize_t writev(int fd, const iovec* parts, int count) {
  static const auto next = original<ssize_t(int, const iovec*, int)>("writev");
  const Act act = act_on("writev", fd);
  return act == Act::fail ? -1 : next(fd, parts, static_cast<int>(cut(act, static_cast<size_t>(count))));
}

ssize_t sendfile(int to, int from, off_t* at, size_t bytes) {
  static const auto next = original<ssize_t(int, int, off_t*, size_t)>("sendfile");
  const Act act = act_on("sendfile", to);
  return act == Act::fail ? -1 : next(to, from, at, cut(act, bytes));
}

ssize_t copy_file_range(int from, off64_t* from_at, int to, off64_t* to_at, size_t bytes, unsigned flags) {
  static const auto next = original<ssize_t(int, off64_t*, int, off64_t*, size_t, unsigned)>("copy_file_range");
  const Act act = act_on("copy_file_range", to);
  return act == Act::fail ? -1 : next(from, from_at, to, to_at, cut(act, bytes), flags);
}

int fsync(int fd) {
  static const auto next = original<int(int)>("fsync");
  return act_on("fsync", fd) == Act::fail ? -1 : next(fd);
}

int fdatasync(int fd) {
  static const auto next = original<int(int)>("fdatasync");
  return act_on("fdatasync", fd) == Act::fail ? -1 : next(fd);
}

int ftruncate(int fd, off_t bytes) noexcept {
  static const auto next = original<int(int, off_t)>("ftruncate");
  return act_on("ftruncate", fd) == Act::fail ? -1 : next(fd, bytes);
}

int ftruncate64(int fd, off64_t bytes) noexcept { return ftruncate(fd, bytes); }

int truncate(const char* path, off_t bytes) noexcept {
  static const auto next = original<int(const char*, off_t)>("truncate");
  return fails("truncate", path) ? -1 : next(path, bytes);
}

int truncate64(const char* path, off64_t bytes) noexcept { return truncate(path, bytes); }

int flock(int fd, int operation) noexcept {
  static const auto next = original<int(int, int)>("flock");
  return act_on("flock", fd) == Act::fail ? -1 : next(fd, operation);
}

void* mmap(void* at, size_t bytes, int protection, int flags, int fd, off_t from) noexcept {
  static const auto next = original<void*(void*, size_t, int, int, int, off_t)>("mmap");
  const Act act = fd >= 0 ? act_on("mmap", fd) : Act::none;
  return act == Act::fail ? MAP_FAILED : next(at, bytes, protection, flags, fd, from);
}

int rename(const char* from, const char* to) noexcept {
  static const auto next = original<int(const char*, const char*)>("rename");
  return fails("rename", to) ? -1 : next(from, to);
}

int renameat(int from_folder, const char* from, int to_folder, const char* to) noexcept {
  static const auto next = original<int(int, const char*, int, const char*)>("renameat");
  return fails("renameat", to, to_folder) ? -1 : next(from_folder, from, to_folder, to);
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) noexcept {
  static const auto next = original<int(int, const char*, int, const char*, unsigned)>("renameat2");
  return fails("renameat2", to, to_folder) ? -1 : next(from_folder, from, to_folder, to, flags);
}

int link(const char* from, const char* to) noexcept {
  static const auto next = original<int(const char*, const char*)>("link");
  return fails("link", to) ? -1 : next(from, to);
}

int symlink(const char* from, const char* to) noexcept {
  static const auto next = original<int(const char*, const char*)>("symlink");
  return fails("symlink", to) ? -1 : next(from, to);
}

int unlink(const char* path) noexcept {
  static const auto next = original<int(const char*)>("unlink");
  return fails("unlink", path) ? -1 : next(path);
}

int unlinkat(int folder, const char* path, int flags) noexcept {
  static const auto next = original<int(int, const char*, int)>("unlinkat");
  return fails("unlinkat", path, folder) ? -1 : next(folder, path, flags);
}

int remove(const char* path) noexcept {
  static const auto next = original<int(const char*)>("remove");
  return fails("remove", path) ? -1 : next(path);
}

int rmdir(const char* path) noexcept {
  static const auto next = original<int(const char*)>("rmdir");
  return fails("rmdir", path) ? -1 : next(path);
}

int mkdir(const char* path, mode_t mode) noexcept {
  static const auto next = original<int(const char*, mode_t)>("mkdir");
  return fails("mkdir", path) ? -1 : next(path, mode);
}

int mkdirat(int folder, const char* path, mode_t mode) noexcept {
  static const auto next = original<int(int, const char*, mode_t)>("mkdirat");
  return fails("mkdirat", path, folder) ? -1 : next(folder, path, mode);
}

char* mkdtemp(char* pattern) noexcept {
  static const auto next = original<char*(char*)>("mkdtemp");
  return fails("mkdtemp", pattern) ? nullptr : next(pattern);
}

DIR* opendir(const char* path) {
  static const auto next = original<DIR*(const char*)>("opendir");
  char absolute[PATH_MAX];
  const bool ours = below(AT_FDCWD, path, absolute);
  if (fails("opendir", path)) return nullptr;
  DIR* folder = next(path);
  if (folder) count_file(dirfd(folder), ours);
  return folder;
}

DIR* fdopendir(int fd) {
  static const auto next = original<DIR*(int)>("fdopendir");
  return act_on("fdopendir", fd) == Act::fail ? nullptr : next(fd);
}

dirent* readdir(DIR* folder) {
  static const auto next = original<dirent*(DIR*)>("readdir");
  return act_on("readdir", dirfd(folder)) == Act::fail ? nullptr : next(folder);
}

dirent64* readdir64(DIR* folder) { return reinterpret_cast<dirent64*>(readdir(folder)); }

int closedir(DIR* folder) {
  static const auto next = original<int(DIR*)>("closedir");
  count_file(dirfd(folder), false);  // only a wrong argument makes it fail
  return next(folder);
}

// The calls that glob() makes are inside the C library, where no library can replace them. So glob() itself fails as if
// it could not read the folder of the pattern.
int glob(const char* pattern, int flags, int (*stop)(const char*, int), glob_t* found) {
  static const auto next = original<int(const char*, int, int (*)(const char*, int), glob_t*)>("glob");
  if (fails("glob", pattern) && ((stop && stop(pattern, plan().error) != 0) || flags & GLOB_ERR)) return GLOB_ABORTED;
  return next(pattern, flags, stop, found);
}

int access(const char* path, int mode) noexcept {
  static const auto next = original<int(const char*, int)>("access");
  return fails("access", path) ? -1 : next(path, mode);
}

int faccessat(int folder, const char* path, int mode, int flags) noexcept {
  static const auto next = original<int(int, const char*, int, int)>("faccessat");
  return fails("faccessat", path, folder) ? -1 : next(folder, path, mode, flags);
}

ssize_t readlink(const char* path, char* to, size_t bytes) noexcept {
  static const auto next = original<ssize_t(const char*, char*, size_t)>("readlink");
  return fails("readlink", path) ? -1 : next(path, to, bytes);
}

ssize_t readlinkat(int folder, const char* path, char* to, size_t bytes) noexcept {
  static const auto next = original<ssize_t(int, const char*, char*, size_t)>("readlinkat");
  return fails("readlinkat", path, folder) ? -1 : next(folder, path, to, bytes);
}

char* realpath(const char* path, char* to) noexcept {
  static const auto next = original<char*(const char*, char*)>("realpath");
  return fails("realpath", path) ? nullptr : next(path, to);
}

int chmod(const char* path, mode_t mode) noexcept {
  static const auto next = original<int(const char*, mode_t)>("chmod");
  return fails("chmod", path) ? -1 : next(path, mode);
}

int fchmod(int fd, mode_t mode) noexcept {
  static const auto next = original<int(int, mode_t)>("fchmod");
  return act_on("fchmod", fd) == Act::fail ? -1 : next(fd, mode);
}

int fchmodat(int folder, const char* path, mode_t mode, int flags) noexcept {
  static const auto next = original<int(int, const char*, mode_t, int)>("fchmodat");
  return fails("fchmodat", path, folder) ? -1 : next(folder, path, mode, flags);
}

int utimensat(int folder, const char* path, const timespec times[2], int flags) noexcept {
  static const auto next = original<int(int, const char*, const timespec*, int)>("utimensat");
  return fails("utimensat", path, folder) ? -1 : next(folder, path, times, flags);
}

int statvfs(const char* path, struct statvfs* status) noexcept {
  static const auto next = original<int(const char*, struct statvfs*)>("statvfs");
  return fails("statvfs", path) ? -1 : next(path, status);
}

int statvfs64(const char* path, struct statvfs64* status) noexcept {
  static const auto next = original<int(const char*, struct statvfs64*)>("statvfs64");
  return fails("statvfs", path) ? -1 : next(path, status);
}

int stat(const char* path, struct stat* status) noexcept {
  static const auto next = original<int(const char*, struct stat*)>("stat");
  return fails("stat", path) ? -1 : next(path, status);
}

int lstat(const char* path, struct stat* status) noexcept {
  static const auto next = original<int(const char*, struct stat*)>("lstat");
  return fails("lstat", path) ? -1 : next(path, status);
}

int fstat(int fd, struct stat* status) noexcept {
  static const auto next = original<int(int, struct stat*)>("fstat");
  return act_on("fstat", fd) == Act::fail ? -1 : next(fd, status);
}

int fstatat(int folder, const char* path, struct stat* status, int flags) noexcept {
  static const auto next = original<int(int, const char*, struct stat*, int)>("fstatat");
  return fails("fstatat", path, folder) ? -1 : next(folder, path, status, flags);
}

// On a 64-bit system the two structures are the same.
static_assert(sizeof(struct stat64) == sizeof(struct stat) && sizeof(dirent64) == sizeof(dirent));
int stat64(const char* path, struct stat64* status) noexcept {
  return stat(path, reinterpret_cast<struct stat*>(status));
}
int lstat64(const char* path, struct stat64* status) noexcept {
  return lstat(path, reinterpret_cast<struct stat*>(status));
}
int fstat64(int fd, struct stat64* status) noexcept { return fstat(fd, reinterpret_cast<struct stat*>(status)); }
int fstatat64(int folder, const char* path, struct stat64* status, int flags) noexcept {
  return fstatat(folder, path, reinterpret_cast<struct stat*>(status), flags);
}

int statx(int folder, const char* path, int flags, unsigned mask, struct statx* status) noexcept {
  static const auto next = original<int(int, const char*, int, unsigned, struct statx*)>("statx");
  return fails("statx", path, folder) ? -1 : next(folder, path, flags, mask, status);
}

}  // extern "C"
