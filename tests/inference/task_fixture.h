#pragma once
// Tokenizers and models whose scores are known in advance.
#include <cmath>

#include "base/json.h"
#include "base/rng.h"
#include "inference/task_file.h"
#include "support/model_fixture.h"
#include "support/test_folders.h"
#include "tokenizer/tokenizer_file.h"

namespace gptmoe::testing {

// One token for every byte, and optionally an end-of-text token (256).
inline Tokenizer byte_tokenizer(bool with_end = true) {
  Vocabulary vocabulary;
  for (int byte = 0; byte < 256; ++byte) vocabulary.tokens.emplace_back(1, static_cast<char>(byte));
  if (with_end) {
    vocabulary.tokens.emplace_back(kEndOfText);
    vocabulary.added.push_back({256, true});
    vocabulary.end_of_text = 256;
  }
  return Tokenizer(std::move(vocabulary));
}

inline Task three_questions() {
  Task task{"t", "t.jsonl", TaskKind::multiple_choice, {}};
  task.examples = {{1, {"Q1"}, {"a", "b"}, 1}, {2, {"Q2"}, {"c", "d"}, 0}, {3, {"Q3"}, {"e", "f", "g"}, 2}};
  return task;
}

// Trained on the King James Bible: " the" is one token.
inline Tokenizer golden_tokenizer() {
  return load_tokenizer(source_folder() + "/tests/tokenizer/golden/tokenizer.json");
}

// The config of a model over bytes with a context of `context` tokens; `changes` is merged into it.
inline Config byte_config(int64_t context, const nlohmann::json& changes = nlohmann::json::object()) {
  nlohmann::json config = {{"model", {{"vocab_size", 257}, {"max_position_embeddings", context}}},
                           {"router", {{"type", "default"}}}};
  if (!changes.is_null()) config.merge_patch(changes);
  return tiny_config(config);
}

// Sets element i of every row whose name ends in `ending` to f(i).
template <typename F>
void set_rows(Gpt& gpt, const std::string& ending, F f) {
  int found = 0;
  for (const ParamRow& row : gpt.params().rows()) {
    if (!row.name.ends_with(ending)) continue;
    ++found;
    float* values = gpt.params().row_value(row).as<float>();
    for (int64_t i = 0; i < row.count; ++i) values[i] = static_cast<float>(f(i));
  }
  GPTMOE_CHECK(found > 0, ending);
}

// A model whose next token depends on the last token only: attention and experts output zeros, embeddings are
// orthogonal, and the head maps them to a table of random logits.
class BigramModel : public Model {
 public:
  explicit BigramModel(int64_t context)
      : Model(byte_config(context, {{"model", {{"hidden_size", C}, {"num_attention_heads", 1}}}})) {
    for (const char* writer : {"o_proj.weight", "down_proj.weight"}) set_rows(gpt(), writer, [](int64_t) { return 0; });
    const double scale = std::sqrt(static_cast<double>(C));
    set_rows(gpt(), "embed_tokens.weight", [&](int64_t i) { return i / C == i % C ? scale : 0; });
    const double norm = std::sqrt(1 + config.model.rms_norm_eps);
    set_rows(gpt(), "lm_head.weight", [&](int64_t i) { return logit(i % C, i / C) * norm / scale; });
  }

  static double logit(int64_t last, int64_t next) {
    return 3 * Rng(7, static_cast<uint64_t>(last)).normal(static_cast<uint64_t>(next));
  }
  static double log_probability(int64_t last, int64_t next) {
    double sum = 0;
    for (int64_t v = 0; v < 257; ++v) sum += std::exp(logit(last, v));
    return logit(last, next) - std::log(sum);
  }
  static int32_t likeliest(int64_t last) {
    int32_t best = 0;
    for (int32_t v = 1; v < 257; ++v)
      if (logit(last, v) > logit(last, best)) best = v;
    return best;
  }

 private:
  static constexpr int64_t C = 258;
};

}  // namespace gptmoe::testing
