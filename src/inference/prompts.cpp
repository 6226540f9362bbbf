#include "inference/prompts.h"

#include <algorithm>
#include <tuple>

#include "base/check.h"
#include "base/progress.h"
#include "base/rng.h"

namespace gptmoe {
namespace {

constexpr const char* kBetweenShots = "\n";

std::vector<std::string> sorted(std::vector<std::string> texts) {
  std::sort(texts.begin(), texts.end());
  return texts;
}

}  // namespace

Prompts::Prompts(const Task& task, const PromptOptions& options) : task_(task), options_(options) {
  using Texts = std::vector<std::string>;
  std::map<std::tuple<std::string, Texts, Texts>, size_t> first;
  for (size_t i = 0; i < task.examples.size(); ++i) {
    const Example& example = task.examples[i];
    categories_[example.category].push_back(i);
    const auto texts = std::tuple(example.category, sorted(example.contexts), sorted(example.continuations));
    first_copy_.push_back(first.emplace(texts, i).first->second);
    copies_.push_back(0);
    ++copies_[first_copy_.back()];
  }
}

std::string Prompts::prompt(size_t example, int64_t candidate) const {
  std::string prompt;
  for (const size_t other : draw_shots(example)) {
    const Example& shot = task_.examples[other];
    prompt += shot.context(shot.gold) + options_.delimiter + shot.continuation(shot.gold) + kBetweenShots;
  }
  return prompt + task_.examples[example].context(candidate) + options_.delimiter;
}

// The examples to show before `example`, in the order in which they are drawn.
std::vector<size_t> Prompts::draw_shots(size_t example) const {
  std::vector<size_t> drawn;
  if (options_.shots == 0) return drawn;
  const Example& asked = task_.examples[example];
  const std::vector<size_t>& pool = categories_.at(asked.category);
  const size_t first = first_copy_[example];
  const int64_t others = std::ssize(pool) - copies_[first];
  if (others < options_.shots)
    user_error(options_.shots_given_by, ": ", options_.shots, ", but ", task_.place(asked), " has only ",
               plural(others, "other example"), asked.category.empty() ? " in its file" : " in its category",
               ", not counting its copies; lower ", options_.shots_given_by);
  const Rng rng(options_.seed, example);
  for (uint64_t i = 0; std::ssize(drawn) < options_.shots; ++i) {
    const size_t other = pool[rng.below(i, pool.size())];
    if (first_copy_[other] != first && std::find(drawn.begin(), drawn.end(), other) == drawn.end())
      drawn.push_back(other);
  }
  return drawn;
}

}  // namespace gptmoe
