#include "kernels/cuda/product_choices.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/kept_texts.h"

namespace gptmoe::cuda {
namespace {

// Another process times one product for less than a second.
constexpr auto kPatience = std::chrono::seconds(60);

}  // namespace

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

ProductChoices::Choice ProductChoices::kept(const std::filesystem::path& file, const std::string& key,
                                            const std::function<bool(const std::string&)>& valid, const Make& make) {
  const auto do_without = [&](const std::exception& obstacle) {
    note(text(obstacle.what(), "; without this file, products use the algorithms that cuBLASLt lists first"));
  };
  std::optional<KeptTexts> choices;
  try {
    choices.emplace(KeptFile{.path = file,
                             .section = "choices",
                             .holds = "gptmoe's choices for cuBLASLt",
                             .doing = "is choosing cuBLASLt's algorithms",
                             .patience = kPatience});
  } catch (const UserError& obstacle) {
    do_without(obstacle);
    return std::nullopt;
  }
  if (!choices->damage().empty()) note(choices->damage() + "; the file is made again");
  if (const Choice found = choices->find(key); found && valid(*found)) return found;
  const Choice made = make();
  if (!made) return std::nullopt;
  try {
    choices->keep(key, *made);
  } catch (const Failure& obstacle) {
    do_without(obstacle);
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
