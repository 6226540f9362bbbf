#include "base/file.h"

#include <fcntl.h>
#include <glob.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/unfinished.h"

namespace gptmoe {
namespace {

constexpr size_t kBufferBytes = 1 << 20;
constexpr int64_t kFlushBytes = int64_t{512} << 20;

std::string reason() { return std::strerror(errno); }

// Opens a regular file for reading. Throws UserError naming the path. With O_NONBLOCK, opening a FIFO does not wait for
// a writer; for regular files the flag changes nothing.
Descriptor open_regular(const std::filesystem::path& path, int64_t& size) {
  Descriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) user_error(path.string(), ": cannot open: ", reason());
  struct stat status {};
  if (fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) user_error(path.string(), ": not a regular file");
  size = status.st_size;
  return fd;
}

[[noreturn]] void cannot_access(const std::filesystem::path& path, const std::string& why) {
  user_error(path.string(), ": cannot access it: ", why);
}

// The folder that glob() could not read, and the reason. It is not a local variable of glob_files(), since glob()
// passes no argument of ours to its callback.
thread_local std::string unread_folder;

int stop_at_unread_folder(const char* folder, int error) {
  const std::error_code code(error, std::generic_category());
  if (is_absence(code)) return 0;
  unread_folder = text(folder, ": ", code.message());
  return 1;
}

}  // namespace

FileReader::FileReader(const std::filesystem::path& path) : path_(path), fd_(open_regular(path, size_)) {}

void FileReader::read(void* to, int64_t bytes, int64_t position) const {
  GPTMOE_CHECK(position >= 0 && bytes >= 0 && position + bytes <= size_, path_.string());
  for (char* next = static_cast<char*>(to); bytes > 0;) {
    const ssize_t n = pread(fd_.get(), next, static_cast<size_t>(bytes), position);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Failure(text(path_.string(), ": byte ", position, ": cannot read: ", reason()));
    if (n == 0)
      user_error(path_.string(), ": byte ", position, ": the file ends here, but it had ", size_,
                 " bytes when it was opened; restore it, and do not change it while it is in use");
    next += n;
    bytes -= n;
    position += n;
  }
}

std::string FileReader::content() const {
  std::string bytes(static_cast<size_t>(size_), '\0');
  read(bytes.data(), size_, 0);
  return bytes;
}

AtomicFile::AtomicFile(const std::filesystem::path& path) : path_(path) {
  Unfinished made = new_unfinished_file(path);
  temporary_ = std::move(made.path);
  fd_ = std::move(made.fd);
  buffer_.reserve(kBufferBytes);
}

AtomicFile::~AtomicFile() {
  if (fd_) unlink(temporary_.c_str());  // if this fails, the next writer removes it
}

void AtomicFile::write(const void* data, int64_t bytes) {
  if (buffer_.size() + static_cast<size_t>(bytes) > kBufferBytes) flush_buffer();
  if (static_cast<size_t>(bytes) >= kBufferBytes) {
    write_fully(fd_.get(), static_cast<const char*>(data), bytes, written_, path_);
  } else {
    buffer_.append(static_cast<const char*>(data), static_cast<size_t>(bytes));
  }
  written_ += bytes;
  if (written_ - flushed_ < kFlushBytes) return;
  flush_to_disk();  // so that commit() waits only briefly
  flushed_ = written_;
}

void AtomicFile::flush_to_disk() {
  if (fsync(fd_.get()) != 0) throw Failure(text(path_.string(), ": cannot flush to disk: ", reason()));
}

void AtomicFile::flush_buffer() {
  const auto pending = static_cast<int64_t>(buffer_.size());
  write_fully(fd_.get(), buffer_.data(), pending, written_ - pending, path_);
  buffer_.clear();
}

void AtomicFile::commit() {
  flush_buffer();
  flush_to_disk();
  if (rename(temporary_.c_str(), path_.c_str()) != 0)
    throw Failure(text(path_.string(), ": cannot rename into place: ", reason()));
  fd_.reset();  // after fsync() a failing close() loses nothing
  sync_directory(path_.has_parent_path() ? path_.parent_path() : ".");
}

void require_still_there(int fd, const std::filesystem::path& path) {
  if (struct stat status{}; fstat(fd, &status) != 0)
    throw Failure(text(path.string(), ": cannot access it: ", reason()));
  if (!is_at(fd, path))
    throw Failure(text(path.string(), ": was removed, moved or replaced while it was being written"));
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

void raise_open_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);  // if this fails, the open() that exceeds the limit reports it
}

void flush_standard_output() {
  errno = 0;
  if (std::fflush(stdout) != 0 || std::ferror(stdout))
    throw Failure(text("standard output: cannot write: ", errno != 0 ? reason() : "an earlier write failed"));
}

bool is_absence(const std::error_code& error) {
  return error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory;
}

std::filesystem::file_type file_type_at(const std::filesystem::path& path) {
  std::error_code error;
  const auto type = std::filesystem::status(path, error).type();
  if (error && !is_absence(error)) cannot_access(path, error.message());
  if (type == std::filesystem::file_type::not_found)
    if (const auto target = std::filesystem::read_symlink(path, error); !error)
      cannot_access(path, "it is a link to " + target.string() + ", which does not exist");
  return type;
}

std::string read_text_file(const std::filesystem::path& path) {
  int64_t size = 0;
  const Descriptor fd = open_regular(path, size);
  std::string content, part(1 << 16, '\0');
  content.reserve(static_cast<size_t>(size));
  ssize_t n = 0;
  while ((n = read(fd.get(), part.data(), part.size())) > 0 || (n < 0 && errno == EINTR))
    if (n > 0) content.append(part.data(), static_cast<size_t>(n));
  if (n < 0) user_error(path.string(), ": cannot read: ", reason());
  return content;
}

void write_text_file(const std::filesystem::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

void sync_directory(const std::filesystem::path& directory) {
  const Descriptor fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd && errno == EACCES) return;  // a folder that this user may write but not read cannot be flushed
  if (fd && (fsync(fd.get()) == 0 || errno == EINVAL || errno == ENOTSUP)) return;  // some systems cannot flush folders
  throw Failure(text(directory.string(), ": cannot flush to disk: ", reason()));
}

std::vector<std::filesystem::path> glob_files(const std::string& pattern) {
  std::error_code error;
  if (std::filesystem::is_regular_file(pattern, error)) return {pattern};
  // A pattern may be longer than any file name. A link to nothing counts as a match; opening it reports the error.
  if (error && !is_absence(error) && error != std::errc::filename_too_long) cannot_access(pattern, error.message());
  glob_t found{};
  const int code = glob(pattern.c_str(), 0, stop_at_unread_folder, &found);
  std::vector<std::filesystem::path> paths;
  for (size_t i = 0; code == 0 && i < found.gl_pathc; ++i) paths.emplace_back(found.gl_pathv[i]);
  globfree(&found);
  if (code == GLOB_ABORTED) user_error(pattern, ": cannot read the folder ", unread_folder);
  if (code == GLOB_NOSPACE) throw Failure(text(pattern, ": cannot list the files: out of memory"));
  return paths;
}

}  // namespace gptmoe
