#include "kernels/cuda/product_choices.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "base/file.h"
#include "base/lock.h"
#include "base/seal.h"

namespace gptmoe::cuda {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kChoices = "choices";
// Another process times one product for less than a second.
constexpr auto kPatience = std::chrono::seconds(60);

// The choices in a file with this content. Throws UserError if the file is damaged or not ours.
json parse_choices(const std::string& content, const std::string& file) {
  json all = parse_sealed_json(content, file);
  if (seal_of(content) != Seal::intact || !all.is_object() || !all.contains(kChoices) || !all[kChoices].is_object())
    user_error(file, ": not a file of gptmoe's choices for cuBLASLt");
  for (const auto& [key, choice] : all[kChoices].items())
    if (!choice.is_string()) user_error(file, ": the choice for \"", key, "\" is not a string");
  return all[kChoices];
}

}  // namespace

fs::path user_choices_file() {
  const auto folder = [](const char* variable) {
    const char* value = std::getenv(variable);
    const fs::path path = value ? value : "";
    return path.is_absolute() ? path : fs::path();
  };
  const fs::path cache = folder("XDG_CACHE_HOME"), home = folder("HOME");
  if (!cache.empty()) return cache / "gptmoe" / "cublaslt.json";
  return home.empty() ? fs::path() : home / ".cache" / "gptmoe" / "cublaslt.json";
}

std::string ProductChoices::get(const std::string& key, const std::function<bool(const std::string&)>& valid,
                                const std::function<Choice()>& time, const std::function<std::string()>& first) {
  const Make users = [&]() -> Choice {
    const Choice choice = user_file_.empty() ? std::nullopt : kept(user_file_, key, valid, time);
    return choice ? choice : first();
  };
  if (!run_file_.empty())
    if (const Choice choice = kept(run_file_, key, valid, users)) return *choice;
  return *users();
}

ProductChoices::Choice ProductChoices::kept(const fs::path& file, const std::string& key,
                                            const std::function<bool(const std::string&)>& valid, const Make& make) {
  json choices = json::object();
  std::optional<OutputLock> lock;
  try {
    std::error_code error;
    fs::create_directories(file.parent_path(), error);  // if this fails, so does the lock
    lock.emplace(file, "is choosing cuBLASLt's algorithms", kPatience);
    if (file_type_at(file) != fs::file_type::not_found) {
      const std::string content = read_text_file(file);
      try {
        choices = parse_choices(content, file.string());
      } catch (const UserError& damage) {
        note(text(damage.what(), "; the file is made again"));
      }
    }
  } catch (const UserError& obstacle) {
    note(text(obstacle.what(), "; without this file, products use the algorithms that cuBLASLt lists first"));
    return std::nullopt;
  }
  if (const auto found = choices.find(key); found != choices.end() && valid(*found)) return found->get<std::string>();
  const Choice made = make();
  if (!made) return std::nullopt;
  choices[key] = *made;
  try {
    write_text_file(file, sealed(json::object({{kChoices, choices}}).dump(1)));
  } catch (const Failure& failure) {
    note(text(failure.what(), "; without this file, products use the algorithms that cuBLASLt lists first"));
    return std::nullopt;
  }
  return made;
}

std::vector<std::string> ProductChoices::take_notes() {
  const auto begin = notes_.begin() + static_cast<std::ptrdiff_t>(std::exchange(taken_, notes_.size()));
  return {begin, notes_.end()};
}

void ProductChoices::note(const std::string& line) {
  if (std::find(notes_.begin(), notes_.end(), line) == notes_.end()) notes_.push_back(line);
}

}  // namespace gptmoe::cuda
