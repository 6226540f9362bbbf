#pragma once
// Turns examples into tokens.
#include "inference/task_file.h"
#include "tokenizer/tokenizer.h"

namespace gptmoe {

struct PromptOptions {
  std::string delimiter = " ";  // between a context and its continuation
  int64_t shots = 0;            // solved examples before each one, drawn by `seed` from the others of its file
  uint64_t seed = 1;
};

// A log-likelihood to compute: of tokens [first, size) given the tokens before them, 0 < first < size.
struct Request {
  std::vector<int32_t> tokens;
  int64_t first;
};

// The text before a candidate's continuation: the shots, each with its right continuation and a line break, then the
// context, with delimiters.
std::string prompt_of(const Task& task, size_t example, int64_t candidate, const PromptOptions& options);

class RequestEncoder {
 public:
  // `tokenizer` must outlive it.
  explicit RequestEncoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  // Prompt and continuation are tokenised as one text, as in training, and split where the prompt alone would end.
  // White space at the prompt's end belongs to the continuation (" Paris" is one token). A prompt without tokens
  // becomes the end-of-text token, after which documents begin. Throws UserError "PLACE: ..." if the tokenizer has
  // none.
  Request encode(std::string prompt, std::string continuation, const std::string& place);

 private:
  std::vector<int32_t> tokens_of(const std::string& text);

  const Tokenizer& tokenizer_;
  WordCache cache_;
};

// Requests for all candidates of the first `limit` examples, in order. Throws UserError if the file has too few
// examples for the shots.
std::vector<Request> make_requests(const Task& task, size_t limit, const PromptOptions& options,
                                   const Tokenizer& tokenizer);

}  // namespace gptmoe
