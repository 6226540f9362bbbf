#include "inference/text_score.h"

#include <cmath>
#include <numbers>

#include "base/check.h"
#include "base/json.h"
#include "base/statistics.h"

namespace gptmoe {

double TextScore::bits_per_byte() const {
  if (!bytes || *bytes == 0) return kUnknown;
  return loss * static_cast<double>(tokens) / std::numbers::ln2 / static_cast<double>(*bytes);
}

int64_t text_bytes(const TokenLoader& loader, int64_t windows, int64_t T, const Tokenizer& tokenizer) {
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  std::vector<int64_t> bytes;
  for (const std::string& token : vocabulary.tokens) bytes.push_back(std::ssize(token));
  for (const AddedToken& added : vocabulary.added)
    if (added.special) bytes[static_cast<size_t>(added.id)] = 0;
  std::vector<int32_t> inputs(static_cast<size_t>(T)), targets(inputs.size());
  const auto view = [&](std::vector<int32_t>& ids) { return Tensor(ids.data(), DType::i32, {T}); };
  int64_t sum = 0;
  for (int64_t window = 0; window < windows; ++window) {
    loader.window(window, view(inputs), view(targets));
    for (const int32_t id : targets) {
      if (!tokenizer.knows(id))
        user_error("token ", id, " of the text is not one of the tokenizer's ", tokenizer.vocab_size(),
                   "; pass the tokenizer that made the shards with --tokenizer");
      sum += bytes[static_cast<size_t>(id)];
    }
  }
  return sum;
}

nlohmann::ordered_json to_json(const TextScore& score) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  if (!score.name.empty()) json["domain"] = score.name;
  json["data"] = score.data;
  json["tokens"] = score.tokens;
  json["loss"] = score.loss;
  json["perplexity"] = score.perplexity;
  if (score.bytes) {
    json["bytes"] = *score.bytes;
    json["bits_per_byte"] = score.bits_per_byte();
  }
  return json;
}

}  // namespace gptmoe
