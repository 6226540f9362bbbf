#include "data/input_files.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/check.h"
#include "base/file.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kKinds = ".txt or .jsonl file, plain, .gz or .zst,";

InputFile input_file(const fs::path& path) {
  struct stat status {};  // a file that cannot be read says so when it is opened
  if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return {path.string()};
  return {path.string(), status.st_size, int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

struct Found {
  std::vector<fs::path> texts;
  int64_t ignored = 0;

  void add_file(const fs::path& path) {
    if (text_format(path)) {
      texts.push_back(path);
    } else {
      ++ignored;
    }
  }
  void add_folder(const fs::path& folder) try {
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      std::error_code broken_link;
      if (!entry.is_directory(broken_link)) {
        add_file(entry.path());
      } else if (entry.is_symlink()) {
        ++ignored;
      }
    }
  } catch (const fs::filesystem_error& error) {
    user_error(folder.string(), ": cannot list the folder: ", error.code().message(),
               "; make it readable, or leave it out with --on-error skip");
  }
};

void append_sorted(Found found, InputListing& listing) {
  std::sort(found.texts.begin(), found.texts.end());
  for (const fs::path& path : found.texts) listing.files.push_back(input_file(path));
  listing.ignored += found.ignored;
}

void add_pattern(const std::string& pattern, InputListing& listing) {
  const auto matches = glob_files(pattern);
  if (matches.empty() && pattern.find_first_of("*?[") == std::string::npos)
    user_error(pattern, ": no such file or folder; correct --input");
  if (matches.empty()) user_error(pattern, ": nothing matches this pattern; correct --input");
  Found found;
  for (const fs::path& path : matches) {
    std::error_code broken_link;
    if (fs::is_directory(path, broken_link)) {
      found.add_folder(path);
    } else {
      found.add_file(path);
    }
  }
  if (found.texts.empty()) user_error(pattern, ": no ", kKinds, " matches this pattern; correct --input");
  append_sorted(std::move(found), listing);
}

}  // namespace

std::optional<TextFormat> text_format(const fs::path& path) {
  const bool gzip = path.extension() == ".gz", zstd = path.extension() == ".zst";
  const fs::path kind = (gzip || zstd ? path.stem() : path).extension();
  if (kind != ".txt" && kind != ".jsonl") return std::nullopt;
  return TextFormat{kind == ".jsonl", gzip ? Compression::gzip : zstd ? Compression::zstd : Compression::none};
}

InputListing list_input_files(const std::vector<std::string>& inputs) {
  InputListing listing;
  for (const std::string& input : inputs) {
    std::error_code error;
    const auto kind = fs::status(input, error).type();
    if (input == kStandardInput) {
      if (std::count(inputs.begin(), inputs.end(), input) > 1) user_error("--input - is given twice; give it once");
      listing.files.push_back({input});
    } else if (kind == fs::file_type::directory) {
      Found found;
      found.add_folder(input);
      if (found.texts.empty()) user_error(input, ": no ", kKinds, " in this folder; correct --input");
      append_sorted(std::move(found), listing);
    } else if (kind == fs::file_type::not_found) {
      add_pattern(input, listing);
    } else if (kind == fs::file_type::none) {
      user_error(input, ": cannot open: ", error.message(), "; make it readable or correct --input");
    } else if (text_format(input)) {
      listing.files.push_back(input_file(input));
    } else {
      user_error(input, ": not a ", kKinds, " by its name; rename it, or pipe the text in and give \"-\"");
    }
  }
  return listing;
}

}  // namespace gptmoe
