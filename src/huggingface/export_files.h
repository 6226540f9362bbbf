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
// the id of the token that ends documents; config.json names it as the token that begins, ends and pads texts.
std::string config_json(const Family& family, const Config& config, DType dtype, std::optional<int32_t> end);

// generation_config.json. If a tokenizer is given, transformers never generates ids that the tokenizer does not know.
std::string generation_config_json(const ModelConfig& model, const Tokenizer* tokenizer);

// tokenizer_config.json: makes transformers use tokenizer.json as it is.
std::string tokenizer_config_json(const ModelConfig& model, const Tokenizer& tokenizer);

// The texts about a run in README.md.
struct ModelCard {
  std::string name = {}, model = {}, parameters = {}, router = {}, training = {}, data = {}, validation = {},
              version = {};
  std::string documents = {};  // what the user must know about the document mask; empty without one
  std::string start = {};      // the model whose weights the run started from, or that was converted without training
};
std::string model_card(const ModelCard& card, const Family& family, bool with_tokenizer);

}  // namespace gptmoe
