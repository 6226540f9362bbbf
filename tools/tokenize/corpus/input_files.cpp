#include "corpus/input_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "base/progress.h"
#include "tokenizer/utf8.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

// The remedy for several files: "unpack them" from "unpack it".
std::string for_several(std::string_view remedy) {
  std::string result(remedy);
  return result.replace(result.find(" it"), 3, " them");
}

// Builds the listing, input by input.
class Lister {
 public:
  Lister(bool skip_errors, const char* option) : skip_errors_(skip_errors), option_(option) {}

  void add_folder(const std::string& folder) {
    walk(folder, true);
    refuse_unread(folder);
    if (texts_.empty())
      user_error(folder, ": no files in this folder whose names end in ", kReadNames,
                 listing_.hidden > 0 ? " (hidden files and folders are read only if they are named)" : "", "; correct ",
                 option_);
    end_input();
  }

  void add_pattern(const std::string& pattern) {
    const auto matches = glob_files(pattern);
    if (matches.empty() && pattern.find_first_of("*?[") == std::string::npos)
      user_error(pattern, ": no such file or folder; correct ", option_);
    if (matches.empty()) user_error(pattern, ": nothing matches this pattern; correct ", option_);
    for (const fs::path& path : matches) {
      std::error_code broken_link;
      if (fs::is_directory(path, broken_link)) {
        walk(path, false);
      } else {
        sort_in(path);
      }
    }
    refuse_unread(pattern);
    if (texts_.empty())
      user_error(pattern, ": this pattern matches no files whose names end in ", kReadNames, "; correct ", option_);
    end_input();
  }

  void add_file(InputFile file) {
    if (const auto id = file_id(file.path); id && file.path != kStandardInput) {
      const auto [first, is_new] = named_.emplace(*id, file.path);
      if (!is_new && first->second == file.path) user_error(file.path, ": named twice; name it once");
      if (!is_new)
        user_error(file.path, ": the same file as ", first->second, "; name it once, or remove one of the links");
    }
    listing_.files.push_back(std::move(file));
  }

  InputListing listing() && { return std::move(listing_); }

 private:
  void sort_in(const fs::path& path) {
    if (describes_data_set(path)) {
      others_.push_back(path);
    } else if (text_format(path)) {
      texts_.push_back(path);
    } else {
      (remedy_for_unread(path) ? promising_ : others_).push_back(path);
    }
  }

  void refuse_unread(const std::string& input) {
    if (promising_.empty()) return;
    std::sort(promising_.begin(), promising_.end());
    std::vector<std::pair<std::string_view, UnreadFiles>> kinds;  // a remedy and its files
    for (const fs::path& path : promising_) {
      const std::string_view remedy = *remedy_for_unread(path);
      auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const auto& known) { return known.first == remedy; });
      if (kind == kinds.end()) kind = kinds.insert(kind, {remedy, {}});
      kind->second.add(path.string());
    }
    const bool several = promising_.size() > 1;
    std::string message =
        text(input, ": ", plural(std::ssize(promising_), "file"), " with text or data in a format that is not read");
    for (const auto& [remedy, files] : kinds)
      message += text("; ", files.count > 1 ? for_several(remedy) : remedy, " (", files.names(), ")");
    promising_.clear();
    if (!skip_errors_)
      user_error(message, "; or name only the files to read with ", option_, ", or leave ", several ? "them" : "it",
                 " out with --on-error skip");
    listing_.errors.push_back(message);
  }

  // `named`: the folder is given on the command line, so it must not be skipped.
  void walk(const fs::path& folder, bool named) {
    std::error_code error;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
      std::error_code broken_link;
      if (entry->path().filename().string().starts_with('.')) {
        ++listing_.hidden;
      } else if (!entry->is_directory(broken_link)) {
        sort_in(entry->path());
      } else if (entry->is_symlink(broken_link)) {
        others_.push_back(entry->path() / "");
      } else {
        walk(entry->path(), false);
      }
    }
    if (!error) return;
    const std::string message = text(folder.string(), ": cannot list the folder: ", error.message());
    if (named) user_error(message, "; make it readable or correct ", option_);
    if (!skip_errors_) user_error(message, "; make it readable, or leave it out with --on-error skip");
    listing_.errors.push_back(message);
  }

  void end_input() {
    std::sort(texts_.begin(), texts_.end());
    for (const fs::path& path : texts_) add_file(input_file(path));
    std::sort(others_.begin(), others_.end());
    for (const fs::path& path : others_) listing_.unread.add(path.string());
    texts_.clear();
    others_.clear();
  }

  bool skip_errors_;
  const char* option_;
  InputListing listing_;
  std::map<FileId, std::string> named_;               // the files listed so far
  std::vector<fs::path> texts_, promising_, others_;  // of one input: read, refused, left out
};

}  // namespace

std::optional<FileId> file_id(const fs::path& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return std::nullopt;
  return FileId{status.st_dev, status.st_ino};
}

InputFile input_file(const fs::path& path) {
  struct stat status {};
  const int error = stat(path.c_str(), &status) == 0 ? 0 : errno;
  // If the file cannot be read, opening it later fails with the same error and reports it.
  const bool comes_again =
      (error == ENOENT || error == ENOTDIR || error == ELOOP || error == EACCES) && access(path.c_str(), R_OK) != 0;
  if (error != 0 && !comes_again) user_error(path.string(), ": cannot access it: ", std::strerror(error));
  if (error != 0 || !S_ISREG(status.st_mode)) return {path.string()};
  return {path.string(), status.st_size, int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

void UnreadFiles::add(const std::string& path) {
  if (count++ < kNamed) first.push_back(path);
}

UnreadFiles& UnreadFiles::operator+=(const UnreadFiles& other) {
  count += other.count;
  for (const std::string& path : other.first)
    if (std::ssize(first) < kNamed) first.push_back(path);
  return *this;
}

std::string UnreadFiles::names() const {
  std::string list;
  for (const std::string& path : first) list += (list.empty() ? "" : ", ") + replace_malformed(path);
  return list + (count > kNamed ? ", ..." : "");
}

InputListing list_input_files(const std::vector<std::string>& inputs, bool skip_errors, const char* option) {
  Lister lister(skip_errors, option);
  for (const std::string& input : inputs) {
    std::error_code error;
    const auto kind = fs::status(input, error).type();
    if (input == kStandardInput) {
      if (std::count(inputs.begin(), inputs.end(), input) > 1) user_error(option, " - is given twice; give it once");
      lister.add_file({input});
    } else if (kind == fs::file_type::directory) {
      lister.add_folder(input);
    } else if (kind == fs::file_type::not_found) {
      lister.add_pattern(input);
    } else if (kind == fs::file_type::none) {
      user_error(input, ": cannot open: ", error.message(), "; make it readable or correct ", option);
    } else if (text_format(input)) {
      lister.add_file(input_file(input));
    } else {
      user_error(input, ": the name does not end in ", kReadNames, "; ",
                 remedy_for_unread(input).value_or("rename the file"), ", or pipe the text in and give \"-\"");
    }
  }
  return std::move(lister).listing();
}

}  // namespace gptmoe
