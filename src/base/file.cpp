#include "base/file.h"

#include <fcntl.h>
#include <glob.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace gptmoe {
namespace {

constexpr size_t kBufferBytes = 1 << 20;
constexpr int64_t kFlushBytes = int64_t{512} << 20;

std::string reason() { return std::strerror(errno); }

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) user_error(path.string(), ": cannot open: ", reason());
  struct stat status {};
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(fd);
    user_error(path.string(), ": not a regular file");
  }
  size_ = status.st_size;
  void* memory = size_ ? mmap(nullptr, static_cast<size_t>(size_), PROT_READ, MAP_PRIVATE, fd, 0) : nullptr;
  const std::string why = memory == MAP_FAILED ? reason() : "";
  close(fd);
  if (memory == MAP_FAILED) user_error(path.string(), ": cannot map: ", why);
  data_ = static_cast<const char*>(memory);
}

MappedFile::~MappedFile() {
  if (data_) munmap(const_cast<char*>(data_), static_cast<size_t>(size_));
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

AtomicFile::AtomicFile(const std::filesystem::path& path) : path_(path), temporary_(path.string() + ".tmp") {
  fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) throw Failure(text(path.string(), ": cannot create: ", reason()));
  buffer_.reserve(kBufferBytes);
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, int64_t bytes) {
  if (buffer_.size() + static_cast<size_t>(bytes) > kBufferBytes) flush_buffer();
  if (static_cast<size_t>(bytes) >= kBufferBytes) {
    write_fully(fd_, static_cast<const char*>(data), bytes, written_, path_);
  } else {
    buffer_.append(static_cast<const char*>(data), static_cast<size_t>(bytes));
  }
  written_ += bytes;
  if (written_ - flushed_ < kFlushBytes) return;
  flush_to_disk();  // so that commit() waits only briefly
  flushed_ = written_;
}

void AtomicFile::flush_to_disk() {
  if (fsync(fd_) != 0) throw Failure(text(path_.string(), ": cannot flush to disk: ", reason()));
}

void AtomicFile::flush_buffer() {
  const auto pending = static_cast<int64_t>(buffer_.size());
  write_fully(fd_, buffer_.data(), pending, written_ - pending, path_);
  buffer_.clear();
}

void AtomicFile::commit() {
  flush_buffer();
  flush_to_disk();
  if (close(std::exchange(fd_, -1)) != 0) {
    const std::string why = reason();
    unlink(temporary_.c_str());
    throw Failure(text(path_.string(), ": cannot close: ", why));
  }
  if (rename(temporary_.c_str(), path_.c_str()) != 0) {
    const std::string why = reason();
    unlink(temporary_.c_str());
    throw Failure(text(path_.string(), ": cannot rename into place: ", why));
  }
  sync_directory(path_.has_parent_path() ? path_.parent_path() : ".");
}

FolderLock::FolderLock(const std::filesystem::path& folder, const std::string& refusal)
    : fd_(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (fd_ >= 0 && flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
  if (fd_ >= 0) close(fd_);
  user_error(folder.string(), ": ", refusal);
}

FolderLock::~FolderLock() { close(fd_); }

void write_fully(int fd, const char* data, int64_t bytes, int64_t position, const std::filesystem::path& path) {
  while (bytes > 0) {
    const ssize_t n = pwrite(fd, data, static_cast<size_t>(bytes), position);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw Failure(text(path.string(), ": cannot write: ", n == 0 ? "no progress" : reason()));
    data += n;
    bytes -= n;
    position += n;
  }
}

void ignore_file_size_signal() { std::signal(SIGXFSZ, SIG_IGN); }

void flush_standard_output() {
  errno = 0;
  if (std::fflush(stdout) != 0 || std::ferror(stdout))
    throw Failure(text("standard output: cannot write: ", errno != 0 ? reason() : "an earlier write failed"));
}

std::string read_text_file(const std::filesystem::path& path) { return std::string(MappedFile(path).bytes()); }

void write_text_file(const std::filesystem::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

void sync_file(const std::filesystem::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool synced = fd >= 0 && fsync(fd) == 0;
  const int reason = errno;
  if (fd >= 0) close(fd);
  if (!synced) throw Failure(text(path.string(), ": cannot flush to disk: ", std::strerror(reason)));
}

void sync_directory(const std::filesystem::path& directory) {
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

std::vector<std::filesystem::path> glob_files(const std::string& pattern) {
  if (std::error_code none; std::filesystem::is_regular_file(pattern, none)) return {pattern};
  glob_t found{};
  std::vector<std::filesystem::path> paths;
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0)
    for (size_t i = 0; i < found.gl_pathc; ++i) paths.emplace_back(found.gl_pathv[i]);
  globfree(&found);
  return paths;
}

}  // namespace gptmoe
