#pragma once
// Turns examples into tokens.
#include "inference/prompts.h"
#include "tokenizer/tokenizer.h"

namespace gptmoe {

// A log-likelihood to compute: of tokens [first, size) given the tokens before them, 0 < first < size.
struct Request {
  std::vector<int32_t> tokens;
  int64_t first;
};

class RequestEncoder {
 public:
  // `tokenizer` must outlive this object.
  explicit RequestEncoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  // Prompt and continuation are tokenised as one text, as in training, and split where the prompt alone would end.
  // White space at the prompt's end belongs to the continuation (" Paris" is one token). A prompt without tokens
  // becomes the end-of-text token, after which documents begin. Throws UserError "PLACE: ..." if the tokenizer has no
  // such token.
  Request encode(std::string prompt, std::string continuation, const std::string& place);

 private:
  std::vector<int32_t> tokens_of(const std::string& text);

  const Tokenizer& tokenizer_;
  WordCache cache_;
};

// Requests for all candidates of the first `limit` examples, in order. Throws UserError if there are too few examples
// for the shots.
std::vector<Request> make_requests(const Task& task, size_t limit, const PromptOptions& options,
                                   const Tokenizer& tokenizer);

}  // namespace gptmoe
