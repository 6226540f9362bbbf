#pragma once
// The files that the inputs on a command line name.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "corpus/byte_source.h"

namespace gptmoe {

constexpr const char* kStandardInput = "-";

struct InputFile {
  std::string path;
  int64_t bytes = 0;     // on disk; 0 for standard input
  int64_t mtime_ns = 0;  // of the last change, since 1970; 0 for standard input
};

struct InputListing {
  std::vector<InputFile> files;
  int64_t ignored = 0;                   // files of another kind and links to folders, in folders and among matches
  int64_t hidden = 0;                    // hidden files and folders (".name") in folders
  std::vector<std::string> errors = {};  // skipped: one line each
};

struct TextFormat {
  bool json_lines;
  Compression compression;
};

// The format that the end of the name gives: .txt or .jsonl, with or without .gz or .zst. Nullopt for other files.
std::optional<TextFormat> text_format(const std::filesystem::path& path);

// Inputs in the order given: files, folders, patterns and "-". A name that exists is never a pattern. The contents of a
// folder or a pattern are sorted by path, folder by folder ("a/z.txt" before "a.txt"); links to files are read, links
// to folders inside a folder are not followed, hidden files and folders are left out (.git, .cache, .DS_Store) unless
// an input or a pattern names them. Throws UserError if an input does not exist, is of another kind, cannot be listed,
// or is a folder or pattern without text. With skip_errors, subfolders that cannot be listed are left out.
InputListing list_input_files(const std::vector<std::string>& inputs, bool skip_errors = false);

}  // namespace gptmoe
