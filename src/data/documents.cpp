#include "data/documents.h"

#include <algorithm>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/check.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kStandardInput = "-";

bool is_text(const fs::path& path) { return path.extension() == ".txt"; }
bool is_jsonl(const fs::path& path) { return path.extension() == ".jsonl"; }

}  // namespace

DocumentReader::DocumentReader(const std::vector<std::string>& inputs, std::string field) : field_(std::move(field)) {
  for (const std::string& input : inputs) {
    std::error_code error;
    const auto kind = fs::status(input, error).type();
    if (input == kStandardInput) {
      files_.emplace_back(input);
    } else if (kind == fs::file_type::directory) {
      add_folder(input);
    } else if (kind == fs::file_type::not_found) {
      user_error(input, ": no such file or folder; correct --input");
    } else if (is_text(input) || is_jsonl(input)) {
      files_.emplace_back(input);
    } else {
      user_error(input, ": neither .txt nor .jsonl; rename it, or pipe the text in and give \"-\"");
    }
  }
  for (const fs::path& file : files_)
    if (file != kStandardInput) bytes_total_ += MappedFile(file).size();
}

void DocumentReader::add_folder(const fs::path& folder) try {
  std::vector<fs::path> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_directory()) continue;
    if (is_text(entry.path()) || is_jsonl(entry.path())) {
      found.push_back(entry.path());
    } else {
      ++ignored_;
    }
  }
  if (found.empty()) user_error(folder.string(), ": no .txt or .jsonl file in this folder; correct --input");
  std::sort(found.begin(), found.end());
  files_.insert(files_.end(), found.begin(), found.end());
} catch (const fs::filesystem_error& error) {
  user_error(error.path1().string(), ": cannot list the folder: ", error.code().message());
}

std::optional<std::string_view> DocumentReader::next() {
  while (cursor_ < content_.size() || open_next_file()) {
    const std::string_view document = next_in_file();
    if (document.empty()) continue;
    any_ = true;
    return document;
  }
  if (!any_) user_error("no document with text in it among ", files_.size(), " input files; check --input and --field");
  return std::nullopt;
}

// Leaves the reader at the start of the next file that is not empty; false when there is none.
bool DocumentReader::open_next_file() {
  do {
    bytes_done_ += static_cast<int64_t>(content_.size());
    content_ = {};
    cursor_ = 0;
    line_ = 0;
    if (next_file_ == files_.size()) return false;
    const fs::path& file = files_[next_file_++];
    if (file == kStandardInput) {
      storage_.assign(std::istreambuf_iterator<char>(std::cin), {});
      content_ = storage_;
    } else {
      map_.emplace(file);
      content_ = map_->bytes();
    }
  } while (content_.empty());
  return true;
}

std::string_view DocumentReader::next_in_file() {
  if (!is_jsonl(files_[next_file_ - 1])) {
    cursor_ = content_.size();
    return content_;
  }
  const size_t end = std::min(content_.find('\n', cursor_), content_.size());
  const std::string_view line = content_.substr(cursor_, end - cursor_);
  cursor_ = std::min(end + 1, content_.size());
  ++line_;
  return line.find_first_not_of(" \t\r") == std::string_view::npos ? std::string_view{} : json_document(line);
}

std::string_view DocumentReader::json_document(std::string_view line) {
  const std::string where = text(files_[next_file_ - 1].string(), ": line ", line_);
  json object;
  try {
    object = json::parse(line);
  } catch (const json::parse_error& error) {
    user_error(where, ", byte ", error.byte, ": not valid JSON; a .jsonl file holds one JSON object a line");
  }
  if (!object.is_object()) user_error(where, ": not a JSON object; a line reads {\"", field_, "\": \"...\"}");
  const auto value = object.find(field_);
  if (value == object.end()) {
    std::string keys;
    for (const auto& item : object.items()) keys += (keys.empty() ? "" : ", ") + item.key();
    user_error(where, ": no field \"", field_, "\"; name the field that holds the text with --field (found: ", keys,
               ")");
  }
  if (!value->is_string()) user_error(where, ": field \"", field_, "\" is not a string; choose another with --field");
  storage_ = std::move(value->get_ref<std::string&>());
  return storage_;
}

}  // namespace gptmoe
