#include "base/file.h"

#include <fcntl.h>
#include <glob.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <thread>
#include <utility>

#include "base/check.h"

namespace gptmoe {
namespace {

constexpr size_t kBufferBytes = 1 << 20;
constexpr int64_t kFlushBytes = int64_t{512} << 20;

std::string reason() { return std::strerror(errno); }

int open_folder(const std::filesystem::path& folder) {
  return open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

// Opens a regular file for reading. Throws UserError naming the path.
int open_regular(const std::filesystem::path& path, int64_t& size) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) user_error(path.string(), ": cannot open: ", reason());
  struct stat status {};
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(fd);
    user_error(path.string(), ": not a regular file");
  }
  size = status.st_size;
  return fd;
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  const int fd = open_regular(path, size_);
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

FolderLock::FolderLock(const std::filesystem::path& folder, const std::string& refusal) : fd_(open_folder(folder)) {
  if (fd_ >= 0) {
    // Whoever asks folder_locked() holds a lock for microseconds.
    for (int attempt = 0; attempt < 20; ++attempt) {
      if (flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    close(fd_);
  }
  user_error(folder.string(), ": ", refusal);
}

FolderLock::~FolderLock() { close(fd_); }

bool folder_locked(const std::filesystem::path& folder) {
  const int fd = open_folder(folder);
  if (fd < 0) user_error(folder.string(), ": cannot open: ", reason());
  const bool locked = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  close(fd);
  return locked;
}

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

void append_fully(int fd, std::string_view bytes, const std::filesystem::path& path) {
  // When the disk fills up, the first write takes the start of the bytes and the next one reports the reason.
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Failure(text(path.string(), ": cannot append: ", reason()));
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

void ignore_file_size_signal() { std::signal(SIGXFSZ, SIG_IGN); }

void flush_standard_output() {
  errno = 0;
  if (std::fflush(stdout) != 0 || std::ferror(stdout))
    throw Failure(text("standard output: cannot write: ", errno != 0 ? reason() : "an earlier write failed"));
}

std::string read_text_file(const std::filesystem::path& path) {
  int64_t size = 0;
  const int fd = open_regular(path, size);
  std::string content, part(1 << 16, '\0');
  content.reserve(static_cast<size_t>(size));
  ssize_t n = 0;
  while ((n = read(fd, part.data(), part.size())) > 0 || (n < 0 && errno == EINTR))
    if (n > 0) content.append(part.data(), static_cast<size_t>(n));
  const std::string why = n < 0 ? reason() : "";
  close(fd);
  if (n < 0) user_error(path.string(), ": cannot read: ", why);
  return content;
}

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
