#include "inference/requests.h"

#include <algorithm>

#include "base/check.h"
#include "base/rng.h"

namespace gptmoe {
namespace {

constexpr const char* kWhiteSpace = " \t\n\v\f\r";
constexpr const char* kBetweenShots = "\n";

// Examples other than `example`, each once, in the order in which they are drawn.
std::vector<size_t> draw_shots(size_t examples, size_t example, const PromptOptions& options) {
  const Rng rng(options.seed, example);
  std::vector<size_t> drawn;
  for (uint64_t i = 0; std::ssize(drawn) < options.shots; ++i) {
    const size_t other = rng.below(i, examples);
    if (other != example && std::find(drawn.begin(), drawn.end(), other) == drawn.end()) drawn.push_back(other);
  }
  return drawn;
}

}  // namespace

std::string prompt_of(const Task& task, size_t example, int64_t candidate, const PromptOptions& options) {
  std::string prompt;
  for (const size_t other : draw_shots(task.examples.size(), example, options)) {
    const Example& shot = task.examples[other];
    prompt += shot.context(shot.gold) + options.delimiter + shot.continuation(shot.gold) + kBetweenShots;
  }
  return prompt + task.examples[example].context(candidate) + options.delimiter;
}

std::vector<int32_t> RequestEncoder::tokens_of(const std::string& text) {
  std::vector<int32_t> tokens;
  tokenizer_.encode(text, cache_, tokens);
  return tokens;
}

Request RequestEncoder::encode(std::string prompt, std::string continuation, const std::string& place) {
  const size_t last = prompt.find_last_not_of(kWhiteSpace);
  const size_t kept = last == std::string::npos ? 0 : last + 1;
  continuation = prompt.substr(kept) + continuation;
  prompt.resize(kept);

  std::vector<int32_t> before = tokens_of(prompt);
  if (before.empty()) {
    if (!tokenizer_.end_of_text())
      user_error(place, ": the context is empty, and the tokenizer has no end-of-text token to start from");
    before = {*tokenizer_.end_of_text()};
  } else {
    std::vector<int32_t> whole = tokens_of(prompt + continuation);
    if (whole.size() > before.size()) return {std::move(whole), std::ssize(before)};
  }
  // Splits after the prompt even if that is inside a token: otherwise the continuation would have no token of its own.
  const int64_t first = std::ssize(before);
  const std::vector<int32_t> rest = tokens_of(continuation);
  before.insert(before.end(), rest.begin(), rest.end());
  return {std::move(before), first};
}

std::vector<Request> make_requests(const Task& task, size_t limit, const PromptOptions& options,
                                   const Tokenizer& tokenizer) {
  if (options.shots >= std::ssize(task.examples))
    user_error("--shots: ", options.shots, " in addition to the one asked, but ", task.file.string(), " has only ",
               task.examples.size(), " examples");
  RequestEncoder encoder(tokenizer);
  std::vector<Request> requests;
  for (size_t i = 0; i < std::min(limit, task.examples.size()); ++i) {
    const Example& example = task.examples[i];
    for (int64_t c = 0; c < example.candidates(); ++c)
      requests.push_back(encoder.encode(prompt_of(task, i, c, options), example.continuation(c), task.place(example)));
  }
  return requests;
}

}  // namespace gptmoe
