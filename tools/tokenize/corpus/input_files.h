#pragma once
// The files that the inputs on a command line name.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "corpus/file_kinds.h"

namespace gptmoe {

constexpr const char* kStandardInput = "-";

struct InputFile {
  std::string path;
  int64_t bytes = 0;     // on disk; 0 for standard input
  int64_t mtime_ns = 0;  // of the last change, since 1970; 0 for standard input
};

// A file by device and inode: equal for two names of one file, whatever links lead to it.
using FileId = std::pair<uint64_t, uint64_t>;
// The id of the file at `path`; nullopt if there is none.
std::optional<FileId> file_id(const std::filesystem::path& path);

// Size and modification time as a job records them. Both are 0 if `path` is not a regular file, or if it cannot be read
// for a reason that opening it will report. Throws UserError for any other error.
InputFile input_file(const std::filesystem::path& path);

// Files that are not read, for messages.
struct UnreadFiles {
  int64_t count = 0;
  std::vector<std::string> first = {};  // at most kNamed paths
  static constexpr int64_t kNamed = 3;

  void add(const std::string& path);
  UnreadFiles& operator+=(const UnreadFiles& other);
  // "a.md, b.py", or "a.md, b.md, c.md, ..." if there are more.
  std::string names() const;
};

struct InputListing {
  std::vector<InputFile> files;
  UnreadFiles unread;                    // other kinds, in folders or among matches; links to folders in folders
  int64_t hidden = 0;                    // hidden files and folders (".name") in folders
  std::vector<std::string> errors = {};  // skipped: one line each
};

// Inputs in the order given: files, folders, patterns and "-". A name that exists is never a pattern. The contents of a
// folder or a pattern are sorted by path, folder by folder ("a/z.txt" before "a.txt"); links to files are read, links
// to folders inside a folder are not followed, links to folders that a pattern matches are. Hidden files and folders
// are left out (.git, .cache, .DS_Store) unless an input or a pattern names them. Throws UserError if an input does not
// exist, is of another kind, cannot be listed, or is a folder or pattern without text, and if two inputs or links lead
// to the same file. It also throws UserError if a folder or pattern has files that are not read although their names
// promise text (remedy_for_unread()). With skip_errors, such files are left out, and so are subfolders that cannot be
// listed. Messages name `option`, the one that takes the inputs.
InputListing list_input_files(const std::vector<std::string>& inputs, bool skip_errors = false,
                              const char* option = "--input");

}  // namespace gptmoe
