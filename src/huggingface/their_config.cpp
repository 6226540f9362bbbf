#include "huggingface/their_config.h"

#include <algorithm>

#include "base/check.h"
#include "base/read_json.h"

namespace gptmoe {
namespace {

using nlohmann::json;

const json kNull;

// Keys of every class that say how a model was made, how text is generated or how weights are stored.
const std::set<std::string>& harmless_keys() {
  static const std::set<std::string> keys = {"_attn_implementation",
                                             "_attn_implementation_autoset",
                                             "_name_or_path",
                                             "architectures",
                                             "attention_dropout",
                                             "attention_probs_dropout_prob",
                                             "auto_map",
                                             "bos_token_id",
                                             "classifier_dropout",
                                             "dtype",
                                             "eos_token_id",
                                             "hidden_dropout",
                                             "hidden_dropout_prob",
                                             "id2label",
                                             "initializer_range",
                                             "label2id",
                                             "max_window_layers",
                                             "original_max_position_embeddings",
                                             "output_attentions",
                                             "output_hidden_states",
                                             "output_router_logits",
                                             "pad_token_id",
                                             "pretraining_tp",
                                             "resid_pdrop",
                                             "return_dict",
                                             "torch_dtype",
                                             "transformers_version",
                                             "unk_token_id",
                                             "use_cache"};
  return keys;
}

}  // namespace

TheirConfig::TheirConfig(const std::filesystem::path& file) : file_(file.string()), json_(read_json(file)) {
  if (!json_.is_object()) user_error(file_, ": is not a JSON object; pass the folder of a Hugging Face model");
}

const json& TheirConfig::value(const std::string& key) {
  const json* found = &json_;
  for (size_t begin = 0; begin <= key.size();) {
    const size_t end = std::min(key.find('.', begin), key.size());
    const std::string word = key.substr(begin, end - begin);
    if (begin == 0) asked_.insert(word);
    if (!found->is_object() || !found->contains(word)) return kNull;
    found = &(*found)[word];
    begin = end + 1;
  }
  return *found;
}

bool TheirConfig::has(const std::string& key) { return !value(key).is_null(); }

void TheirConfig::require(const std::string& key) {
  if (!has(key)) user_error(file_, ": ", key, ": is missing; restore it, since every export has it");
}

std::string TheirConfig::word(const std::string& key) {
  if (!value(key).is_string()) mistyped(key, "a string");
  return value(key).get<std::string>();
}

int64_t TheirConfig::count(const std::string& key) {
  constexpr int64_t kMost = int64_t{1} << 31;
  const json& found = value(key);
  if (!found.is_number_unsigned() || found.get<uint64_t>() < 1 || found.get<uint64_t>() > kMost)
    mistyped(key, "a whole number from 1 to 2^31");
  return found.get<int64_t>();
}

int64_t TheirConfig::count(const std::string& key, int64_t fallback) { return has(key) ? count(key) : fallback; }

double TheirConfig::number(const std::string& key, double fallback) {
  if (!has(key)) return fallback;
  if (!value(key).is_number()) mistyped(key, "a number");
  return value(key).get<double>();
}

bool TheirConfig::flag(const std::string& key, bool fallback) {
  if (!has(key)) return fallback;
  if (!value(key).is_boolean()) mistyped(key, "true or false");
  return value(key).get<bool>();
}

void TheirConfig::need(const std::string& key, const json& otherwise, std::initializer_list<json> computed) {
  const json& given = value(key);
  const json& effective = given.is_null() ? otherwise : given;
  if (std::find(computed.begin(), computed.end(), effective) != computed.end()) return;
  std::string list;
  for (const json& one : computed) list += (list.empty() ? "" : " or ") + one.dump();
  refuse(key, effective,
         text("gptmoe computes ", list, given.is_null() ? "; config.json lacks the key; this is its default" : ""));
}

void TheirConfig::refuse(const std::string& key, const json& value, const std::string& why) const {
  user_error(file_, ": ", key, ": ", value.dump(), " is not supported: ", why);
}

std::vector<std::string> TheirConfig::ignored() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : json_.items())
    if (!value.is_null() && !asked_.contains(key) && !harmless_keys().contains(key)) keys.push_back(key);
  return keys;
}

void TheirConfig::mistyped(const std::string& key, const char* wanted) {
  if (!has(key)) user_error(file_, ": ", key, ": is missing; it must be ", wanted);
  user_error(file_, ": ", key, ": must be ", wanted, ", not ", value(key).dump());
}

}  // namespace gptmoe
