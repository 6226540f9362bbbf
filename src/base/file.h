#pragma once
// Functions and classes for files. FileReader notices a truncated file; AtomicFile leaves no half-written one.
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/descriptor.h"

namespace gptmoe {

// A regular file, open for reading at any position. It is read and not mapped: if another process truncates a mapped
// file, or its disk fails, the program ends with SIGBUS.
class FileReader {
 public:
  // Throws UserError naming the path if it cannot be opened or is not a regular file.
  explicit FileReader(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  int64_t size() const { return size_; }  // of the file when it was opened

  // Reads `bytes` bytes from byte `position` on, all of them within size(). Any thread may call it. Throws UserError
  // naming file and byte if the file has become shorter, and Failure if the system cannot read it.
  void read(void* to, int64_t bytes, int64_t position) const;
  std::string content() const;

 private:
  std::filesystem::path path_;
  int64_t size_ = 0;
  Descriptor fd_;
};

// Writes to a file beside `path` (base/unfinished.h); commit() flushes it to disk (fsync) and renames it to `path`.
// Without commit() the destructor removes it and `path` is untouched. Throws Failure naming the path and the system's
// reason.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, int64_t bytes);
  void write(std::string_view bytes) { write(bytes.data(), static_cast<int64_t>(bytes.size())); }
  void commit();

 private:
  void flush_buffer();
  void flush_to_disk();

  std::filesystem::path path_, temporary_;
  Descriptor fd_;
  int64_t written_ = 0, flushed_ = 0;
  std::string buffer_;
};

// Throws Failure unless `path` is still the file that is open as `fd`. That file, or a folder above it, may have been
// removed, moved or replaced.
void require_still_there(int fd, const std::filesystem::path& path);

// Writes all the bytes at `position` of an open file. Throws Failure naming `path` and the system's reason.
void write_fully(int fd, const char* data, int64_t bytes, int64_t position, const std::filesystem::path& path);

// Appends all the bytes to a file opened with O_APPEND, in one write if the system takes them all. Throws Failure
// naming `path` and the system's reason.
void append_fully(int fd, std::string_view bytes, const std::filesystem::path& path);

// Makes a write beyond the file size limit (ulimit -f) throw a Failure rather than kill the process.
void ignore_file_size_signal();
// Raises this process's limit of open files (ulimit -n) as far as the system allows: a run may read thousands of shards
// at once. Does nothing if the system refuses.
void raise_open_file_limit();
// Throws Failure with the system's reason if not all output reached standard output.
void flush_standard_output();

// Whether the error means that nothing is at a path. After any other error, something may be there.
bool is_absence(const std::error_code& error);
// What is at the path, or at the end of a link there; not_found if nothing is. Throws UserError naming the path and the
// system's reason if the system cannot tell, or if a link leads to nothing.
std::filesystem::file_type file_type_at(const std::filesystem::path& path);

// The content of a file, which another process may truncate or extend while it is read. Throws UserError naming the
// path if it cannot be opened or read.
std::string read_text_file(const std::filesystem::path& path);
void write_text_file(const std::filesystem::path& path, std::string_view content);
// Flushes renames and new entries in `directory` to disk. Throws Failure naming it and the system's reason. Does
// nothing where the system cannot flush a folder.
void sync_directory(const std::filesystem::path& directory);
// The files that match a shell pattern, sorted by name. If a file's name is the pattern itself, that file is the only
// match. Hidden files and folders (".name") match only where the pattern has the dot. Throws UserError naming the
// pattern and the system's reason if the search fails, for example because the system cannot read a folder whose
// entries the pattern needs.
std::vector<std::filesystem::path> glob_files(const std::string& pattern);

}  // namespace gptmoe
