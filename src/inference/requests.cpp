#include "inference/requests.h"

#include <algorithm>

#include "base/check.h"

namespace gptmoe {
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
  const Prompts prompts(task, options);
  RequestEncoder encoder(tokenizer);
  std::vector<Request> requests;
  for (size_t i = 0; i < std::min(limit, task.examples.size()); ++i) {
    const Example& example = task.examples[i];
    for (int64_t c = 0; c < example.candidates(); ++c)
      requests.push_back(encoder.encode(prompts.prompt(i, c), example.continuation(c), task.place(example)));
  }
  return requests;
}

}  // namespace gptmoe
