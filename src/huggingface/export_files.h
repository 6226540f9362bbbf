#pragma once
// The small files of an export, as texts.
#include <cstdint>
#include <optional>
#include <string>

#include "base/dtype.h"
#include "huggingface/families.h"
#include "tokenizer/tokenizer.h"

namespace gptmoe {

// config.json of a model of `family` with tensors in `dtype`. The config's router block must have every key. `end` is
// the id of the token that ends documents. It begins, ends and pads texts.
std::string config_json(const Family& family, const Config& config, DType dtype, std::optional<int32_t> end);

// generation_config.json. If a tokenizer is given, ids of the model's vocabulary that it does not know are never
// generated.
std::string generation_config_json(const ModelConfig& model, const Tokenizer* tokenizer);

// tokenizer_config.json: makes transformers use tokenizer.json as it is.
std::string tokenizer_config_json(const ModelConfig& model, const Tokenizer& tokenizer);

// What README.md tells about a run, in words.
struct ModelCard {
  std::string name = {}, model = {}, parameters = {}, router = {}, training = {}, data = {}, validation = {},
              version = {};
  std::string documents = {};  // what the user must know of a document mask; empty without one
  std::string start = {};      // the model whose weights it started from or, without training, simply is
};
std::string model_card(const ModelCard& card, const Family& family, bool with_tokenizer);

}  // namespace gptmoe
