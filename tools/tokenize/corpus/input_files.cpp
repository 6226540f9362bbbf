#include "corpus/input_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/file.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kNoFiles = ": no .txt or .jsonl files (optionally .gz or .zst) ";

InputFile input_file(const fs::path& path) {
  struct stat status {};  // an unreadable file is reported when it is opened
  if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return {path.string()};
  return {path.string(), status.st_size, int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

// Builds the listing, input by input.
class Lister {
 public:
  explicit Lister(bool skip_errors) : skip_errors_(skip_errors) {}

  void add_folder(const std::string& folder) {
    walk(folder, true);
    if (texts_.empty())
      user_error(folder, kNoFiles, "in this folder",
                 listing_.hidden > 0 ? " (hidden files and folders are read only if they are named)" : "",
                 "; correct --input");
    end_input();
  }

  void add_pattern(const std::string& pattern) {
    const auto matches = glob_files(pattern);
    if (matches.empty() && pattern.find_first_of("*?[") == std::string::npos)
      user_error(pattern, ": no such file or folder; correct --input");
    if (matches.empty()) user_error(pattern, ": nothing matches this pattern; correct --input");
    for (const fs::path& path : matches) {
      std::error_code broken_link;
      if (fs::is_directory(path, broken_link)) {
        walk(path, false);
      } else {
        sort_in(path);
      }
    }
    if (texts_.empty()) user_error(pattern, kNoFiles, "match this pattern; correct --input");
    end_input();
  }

  void add_file(InputFile file) { listing_.files.push_back(std::move(file)); }

  InputListing listing() && { return std::move(listing_); }

 private:
  void sort_in(const fs::path& path) {
    if (text_format(path)) {
      texts_.push_back(path);
    } else {
      ++listing_.ignored;
    }
  }

  // `named`: given on the command line, so it must not be skipped.
  void walk(const fs::path& folder, bool named) {
    std::error_code error;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
      std::error_code broken_link;
      if (entry->path().filename().string().starts_with('.')) {
        ++listing_.hidden;
      } else if (!entry->is_directory(broken_link)) {
        sort_in(entry->path());
      } else if (entry->is_symlink(broken_link)) {
        ++listing_.ignored;
      } else {
        walk(entry->path(), false);
      }
    }
    if (!error) return;
    const std::string message = text(folder.string(), ": cannot list the folder: ", error.message());
    if (named) user_error(message, "; make it readable or correct --input");
    if (!skip_errors_) user_error(message, "; make it readable, or leave it out with --on-error skip");
    listing_.errors.push_back(message);
  }

  void end_input() {
    std::sort(texts_.begin(), texts_.end());
    for (const fs::path& path : texts_) add_file(input_file(path));
    texts_.clear();
  }

  bool skip_errors_;
  InputListing listing_;
  std::vector<fs::path> texts_;  // of one input
};

}  // namespace

std::optional<TextFormat> text_format(const fs::path& path) {
  const bool gzip = path.extension() == ".gz", zstd = path.extension() == ".zst";
  const fs::path kind = (gzip || zstd ? path.stem() : path).extension();
  if (kind != ".txt" && kind != ".jsonl") return std::nullopt;
  return TextFormat{kind == ".jsonl", gzip ? Compression::gzip : zstd ? Compression::zstd : Compression::none};
}

InputListing list_input_files(const std::vector<std::string>& inputs, bool skip_errors) {
  Lister lister(skip_errors);
  for (const std::string& input : inputs) {
    std::error_code error;
    const auto kind = fs::status(input, error).type();
    if (input == kStandardInput) {
      if (std::count(inputs.begin(), inputs.end(), input) > 1) user_error("--input - is given twice; give it once");
      lister.add_file({input});
    } else if (kind == fs::file_type::directory) {
      lister.add_folder(input);
    } else if (kind == fs::file_type::not_found) {
      lister.add_pattern(input);
    } else if (kind == fs::file_type::none) {
      user_error(input, ": cannot open: ", error.message(), "; make it readable or correct --input");
    } else if (text_format(input)) {
      lister.add_file(input_file(input));
    } else {
      user_error(input, ": the name does not end in .txt or .jsonl (optionally followed by .gz or .zst); rename the ",
                 "file, or pipe the text in and give \"-\"");
    }
  }
  return std::move(lister).listing();
}

}  // namespace gptmoe
