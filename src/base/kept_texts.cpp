#include "base/kept_texts.h"

#include <cstdlib>

#include "base/file.h"
#include "base/seal.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// The texts in the content of `file`. Throws UserError if the file is damaged or not ours.
std::map<std::string, std::string> parse_texts(const std::string& content, const KeptFile& file) {
  const std::string path = file.path.string();
  const json all = parse_sealed_json(content, path);
  if (seal_of(content) != Seal::intact || !all.is_object() || !all.contains(file.section) ||
      !all[file.section].is_object())
    user_error(path, ": not a file of ", file.holds);
  std::map<std::string, std::string> texts;
  for (const auto& [key, value] : all[file.section].items()) {
    if (!value.is_string()) user_error(path, ": \"", key, "\" in \"", file.section, "\" is not a string");
    texts[key] = value.get<std::string>();
  }
  return texts;
}

}  // namespace

fs::path user_cache_file(const std::string& name) {
  const auto folder = [](const char* variable) {
    const char* value = std::getenv(variable);
    const fs::path path = value ? value : "";
    return path.is_absolute() ? path : fs::path();
  };
  const fs::path cache = folder("XDG_CACHE_HOME"), home = folder("HOME");
  if (!cache.empty()) return cache / "gptmoe" / name;
  return home.empty() ? fs::path() : home / ".cache" / "gptmoe" / name;
}

KeptTexts::KeptTexts(KeptFile file) : file_(std::move(file)) {
  std::error_code error;
  fs::create_directories(file_.path.parent_path(), error);  // if this fails, so does the lock
  lock_.emplace(file_.path, file_.doing, file_.patience);
  if (file_type_at(file_.path) == fs::file_type::not_found) return;
  const std::string content = read_text_file(file_.path);
  try {
    texts_ = parse_texts(content, file_);
  } catch (const UserError& damage) {
    damage_ = damage.what();
  }
}

std::optional<std::string> KeptTexts::find(const std::string& key) const {
  const auto found = texts_.find(key);
  return found == texts_.end() ? std::nullopt : std::optional(found->second);
}

void KeptTexts::keep(const std::string& key, const std::string& text) {
  texts_[key] = text;
  write_text_file(file_.path, sealed(json::object({{file_.section, texts_}}).dump(1)));
}

}  // namespace gptmoe
