#include "inference/generate.h"

#include <algorithm>
#include <limits>

#include "inference/text_stream.h"

namespace gptmoe {

void generate(TextCache& cache, std::vector<int32_t> tokens, int64_t count, const SamplingOptions& options,
              const std::vector<int32_t>& never, const Rng& rng, const std::function<bool(int32_t)>& on_token) {
  GPTMOE_CHECK(!tokens.empty());
  for (int64_t made = 0; made < count; ++made) {
    const auto seen = static_cast<size_t>(std::min(cache.positions(), std::ssize(tokens)));
    std::vector<float> logits = cache.logits_after(std::span(tokens).last(seen));
    for (const int32_t id : never) logits[static_cast<size_t>(id)] = -std::numeric_limits<float>::infinity();
    tokens.push_back(sample_token(logits, options, rng.uniform(static_cast<uint64_t>(made))));
    if (!on_token(tokens.back())) return;
  }
}

const char* finish_name(Finish finish) {
  switch (finish) {
    case Finish::length: return "length";
    case Finish::stop: return "stop";
    case Finish::end_of_text: return "eos";
  }
  return "";
}

std::vector<int32_t> prompt_tokens(const Tokenizer& tokenizer, std::string_view prompt, const std::string& place) {
  std::vector<int32_t> tokens;
  try {
    tokens = tokenizer.encode(prompt);
  } catch (const UserError& error) {
    user_error(place, ": ", error.what());
  }
  if (!tokens.empty()) return tokens;
  if (!tokenizer.end_of_text())
    user_error(place, ": empty, and the tokenizer has no end-of-text token to start from; give a text");
  return {*tokenizer.end_of_text()};
}

Continuation continue_prompt(TextCache& cache, const Tokenizer& tokenizer, const std::vector<int32_t>& prompt,
                             const ContinueOptions& options, uint64_t seed,
                             const std::function<void(const std::string&)>& on_text) {
  std::vector<int32_t> never;  // a vocabulary may be padded beyond the tokenizer, and a tokenizer may have gaps
  for (int32_t id = 0; id < cache.vocab_size(); ++id)
    if (!tokenizer.knows(id)) never.push_back(id);
  Continuation out;
  out.prompt_tokens = std::ssize(prompt);
  TextStream stream(options.stops);
  const auto show = [&](const std::string& part) {
    out.text += part;
    if (!part.empty()) on_text(part);
  };
  generate(cache, prompt, options.tokens, options.sampling, never, Rng(seed, 0), [&](int32_t id) {
    out.truncated = out.prompt_tokens + std::ssize(out.tokens) > cache.positions();
    if (id == tokenizer.end_of_text()) {
      out.finish = Finish::end_of_text;
      return false;
    }
    out.tokens.push_back(id);
    if (stream.add(tokenizer.decode(std::span(&id, 1)))) {
      out.finish = Finish::stop;
      return false;
    }
    show(stream.take());
    return true;
  });
  show(stream.take_rest());
  return out;
}

}  // namespace gptmoe
