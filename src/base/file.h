#pragma once
// Files: memory-mapped reading, and writing that a crash cannot leave half done.
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace gptmoe {

// A read-only mapping of a whole file. Throws UserError naming the path if it cannot be opened.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;

  const std::filesystem::path& path() const { return path_; }
  const char* data() const { return data_; }
  int64_t size() const { return size_; }
  std::string_view bytes() const { return {data_, static_cast<size_t>(size_)}; }

 private:
  std::filesystem::path path_;
  const char* data_ = nullptr;
  int64_t size_ = 0;
};

// Writes to `path + ".tmp"`; commit() flushes to the disk (fsync) and renames. Without commit() the destructor removes
// the temporary file and `path` is untouched. Throws Failure naming the path and the system's reason.
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
  int fd_ = -1;
  int64_t written_ = 0, flushed_ = 0;
  std::string buffer_;
};

// While a FolderLock lives, no other process can lock the folder. The system releases the lock when the process ends.
class FolderLock {
 public:
  // Throws UserError "FOLDER: REFUSAL" if another process holds it. Waits a moment for folder_locked() elsewhere to
  // end.
  FolderLock(const std::filesystem::path& folder, const std::string& refusal);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int fd_;
};

// Whether a FolderLock of the folder lives, in this process or another one. Throws UserError naming the folder if it
// cannot be opened.
bool folder_locked(const std::filesystem::path& folder);

// Writes all the bytes at `position` of an open file. Throws Failure naming `path` and the system's reason.
void write_fully(int fd, const char* data, int64_t bytes, int64_t position, const std::filesystem::path& path);

// Appends all the bytes to a file opened with O_APPEND, in one write if the system takes them at once. Throws Failure
// naming `path` and the system's reason.
void append_fully(int fd, std::string_view bytes, const std::filesystem::path& path);

// Makes a write beyond the file size limit (ulimit -f) throw a Failure rather than kill the process.
void ignore_file_size_signal();
// Throws Failure with the system's reason if not all output reached standard output.
void flush_standard_output();

// The content of a file, which another process may cut or extend meanwhile. Throws UserError naming the path if it
// cannot be opened or read.
std::string read_text_file(const std::filesystem::path& path);
void write_text_file(const std::filesystem::path& path, std::string_view content);
// Flushes a file's content to disk. Throws Failure naming the file and the system's reason.
void sync_file(const std::filesystem::path& path);
// Flushes a rename or a new entry in `directory` to disk.
void sync_directory(const std::filesystem::path& directory);
// The files that match a shell pattern, sorted by name. A file that has the pattern as its name is the only match.
std::vector<std::filesystem::path> glob_files(const std::string& pattern);

}  // namespace gptmoe
