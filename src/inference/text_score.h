#pragma once
// Scores of whole texts, which are token shards.
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/loader.h"
#include "tokenizer/tokenizer.h"

namespace gptmoe {

struct TextScore {
  std::string name;  // of the domain; empty for the only text
  std::string data;  // glob of its shards
  int64_t tokens = 0;
  double loss = 0;                         // mean, nats per token
  double perplexity = 0;                   // exp(loss)
  std::optional<int64_t> bytes = {};       // text_bytes() of these tokens, if their tokenizer is known
  std::vector<double> window_losses = {};  // of each window, in order; their mean is `loss`

  // The text's loss in bits, divided by its bytes: comparable between tokenizers. NaN if unknown.
  double bits_per_byte() const;
};

// The number of bytes that `tokenizer` decodes from the targets of the loader's first `windows` windows of T tokens.
// Special tokens are not text and do not count. Throws UserError naming a token that the tokenizer does not have.
int64_t text_bytes(const TokenLoader& loader, int64_t windows, int64_t T, const Tokenizer& tokenizer);

nlohmann::ordered_json to_json(const TextScore& score);

}  // namespace gptmoe
