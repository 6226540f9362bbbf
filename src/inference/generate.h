#pragma once
// Text that a model writes after a prompt.
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "inference/sampling.h"
#include "inference/text_cache.h"
#include "tokenizer/tokenizer.h"

namespace gptmoe {

// Extends `tokens` one by one, calling on_token with each, until `count` tokens are generated or on_token returns
// false. Tokens of `never` are never chosen. The model sees the last cache.positions() tokens. Up to that length, each
// token costs a pass over one token; beyond it, a pass over all tokens that are seen, since their positions shift.
void generate(TextCache& cache, std::vector<int32_t> tokens, int64_t count, const SamplingOptions& options,
              const std::vector<int32_t>& never, const Rng& rng, const std::function<bool(int32_t)>& on_token);

struct ContinueOptions {
  int64_t tokens = 200;  // at most
  SamplingOptions sampling = {};
  std::vector<std::string> stops = {};  // none of them empty
};

// Why a text ended.
enum class Finish { length, stop, end_of_text };
// "length", "stop" or "eos".
const char* finish_name(Finish finish);

struct Continuation {
  std::string text;             // valid UTF-8, without the stop string
  std::vector<int32_t> tokens;  // all that were generated, except the end-of-text token
  int64_t prompt_tokens = 0;
  bool truncated = false;  // the text outgrew the window, so the model no longer saw its beginning
  Finish finish = Finish::length;
};

// The tokens of a prompt. A prompt without tokens becomes the end-of-text token, after which documents begin. Throws
// UserError "PLACE: ..." if the tokenizer lacks the end-of-text token, or a token for a byte of the prompt.
std::vector<int32_t> prompt_tokens(const Tokenizer& tokenizer, std::string_view prompt, const std::string& place);

// Continues a prompt with tokens of `tokenizer`, until its end-of-text token, a stop string or the maximum number of
// tokens. Calls on_text with the parts of the continuation's text as they become certain.
Continuation continue_prompt(TextCache& cache, const Tokenizer& tokenizer, const std::vector<int32_t>& prompt,
                             const ContinueOptions& options, uint64_t seed,
                             const std::function<void(const std::string&)>& on_text);

}  // namespace gptmoe
