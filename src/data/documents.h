#pragma once
// Text inputs as a sequence of documents:
//   *.txt    one document, the bytes as they are
//   *.jsonl  one document a line: the string in one field of a JSON object; blank lines are skipped
//   folder   every .txt and .jsonl file below it, sorted by path; other files are counted, not read
//   -        standard input, one document
// Empty documents are skipped.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace gptmoe {

class DocumentReader {
 public:
  // Finds the files without reading them. `field` is the one that holds the text in .jsonl. Throws UserError when an
  // input does not exist, is of another kind, or is a folder without text.
  explicit DocumentReader(const std::vector<std::string>& inputs, std::string field = "text");

  // The next document, valid until the next call; nothing at the end. Throws UserError naming file and line,
  // and at the end if there was no document at all.
  std::optional<std::string_view> next();

  // For progress: bytes consumed, and the total (of files only; standard input is not known beforehand).
  int64_t bytes_read() const { return bytes_done_ + static_cast<int64_t>(cursor_); }
  int64_t bytes_total() const { return bytes_total_; }
  int64_t files() const { return std::ssize(files_); }
  int64_t files_ignored() const { return ignored_; }  // in folders

 private:
  void add_folder(const std::filesystem::path& folder);
  bool open_next_file();
  std::string_view next_in_file();
  std::string_view json_document(std::string_view line);

  std::string field_;
  std::vector<std::filesystem::path> files_;
  int64_t bytes_total_ = 0, bytes_done_ = 0, ignored_ = 0;

  size_t next_file_ = 0;
  bool any_ = false;  // document delivered
  std::optional<MappedFile> map_;
  std::string_view content_;  // of the open file
  size_t cursor_ = 0;         // in content_
  int64_t line_ = 0;
  std::string storage_;  // what the last document points to, where not to the file itself
};

}  // namespace gptmoe
