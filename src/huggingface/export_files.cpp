#include "huggingface/export_files.h"

#include <sstream>

#include "base/check.h"
#include "base/json.h"

namespace gptmoe {
namespace {

using nlohmann::ordered_json;

ordered_json id_or_null(std::optional<int32_t> id) { return id ? ordered_json(*id) : ordered_json(nullptr); }

void add_ids(ordered_json& json, std::optional<int32_t> end) {
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) json[key] = id_or_null(end);
}

std::string file_text(const ordered_json& json) { return json.dump(2) + "\n"; }

}  // namespace

// Older versions of transformers read rope_theta and torch_dtype, newer ones rope_parameters and dtype.
std::string config_json(const Family& family, const Config& config, DType dtype, std::optional<int32_t> end) {
  const ModelConfig& model = config.model;
  const char* dtype_word = dtype == DType::bf16 ? "bfloat16" : "float32";
  ordered_json json = {{"architectures", {family.architecture}},
                       {"model_type", family.model_type},
                       {"vocab_size", model.vocab_size},
                       {"hidden_size", model.hidden_size},
                       {"num_hidden_layers", model.num_hidden_layers},
                       {"num_attention_heads", model.num_attention_heads},
                       {"num_key_value_heads", model.num_key_value_heads},
                       {"max_position_embeddings", model.max_position_embeddings},
                       {"initializer_range", model.initializer_range},
                       {"rope_theta", model.rope_theta},
                       {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", model.rope_theta}}},
                       {"attention_dropout", 0.0},
                       {"tie_word_embeddings", model.tie_word_embeddings},
                       {"use_cache", true},
                       {"dtype", dtype_word},
                       {"torch_dtype", dtype_word}};
  family.config.describe(config, json);
  add_ids(json, end);
  return file_text(json);
}

std::string generation_config_json(const ModelConfig& model, const Tokenizer* tokenizer) {
  ordered_json json = ordered_json::object();
  add_ids(json, tokenizer ? tokenizer->end_of_text() : std::nullopt);
  json["do_sample"] = false;
  ordered_json unknown = ordered_json::array();
  for (int32_t id = 0; tokenizer && id < model.vocab_size; ++id)
    if (!tokenizer->knows(id)) unknown.push_back(id);
  if (!unknown.empty()) json["suppress_tokens"] = unknown;
  return file_text(json);
}

std::string tokenizer_config_json(const ModelConfig& model, const Tokenizer& tokenizer) {
  ordered_json json = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                       {"model_max_length", model.max_position_embeddings},
                       {"model_input_names", {"input_ids", "attention_mask"}},
                       {"padding_side", "left"},
                       {"clean_up_tokenization_spaces", false}};
  if (const auto end = tokenizer.end_of_text())
    for (const char* key : {"bos_token", "eos_token", "pad_token"})
      json[key] = tokenizer.vocabulary().tokens[static_cast<size_t>(*end)];
  return file_text(json);
}

std::string model_card(const ModelCard& card, const Family& family, bool with_tokenizer) {
  const bool custom = &family == &custom_family();
  const char* trust = custom ? ", trust_remote_code=True" : "";
  std::ostringstream out = text_stream();
  out << "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- gptmoe\n---\n\n# " << card.name
      << "\n\nA language model " << (card.training.empty() && !card.start.empty() ? "converted" : "trained") << " from "
      << (card.start.empty() ? "scratch" : "the weights of `" + card.start + "`") << " by gptmoe " << card.version
      << ".\n\n| | |\n|---|---|\n";
  for (const auto& [label, words] :
       {std::pair("model", card.model), std::pair("parameters", card.parameters), std::pair("router", card.router),
        std::pair("trained", card.training), std::pair("data", card.data), std::pair("documents", card.documents),
        std::pair("validation", card.validation)})
    if (!words.empty()) out << "| " << label << " | " << words << " |\n";
  out << "\n## Load it\n\n```python\nfrom transformers import AutoModelForCausalLM";
  if (with_tokenizer) out << ", AutoTokenizer";
  out << "\n\nfolder = \".\"  # this folder\nmodel = AutoModelForCausalLM.from_pretrained(folder" << trust << ")\n";
  if (with_tokenizer)
    out << "tokenizer = AutoTokenizer.from_pretrained(folder" << trust
        << ")\n"
           "inputs = tokenizer(\"Once upon a time\", return_tensors=\"pt\")\n"
           "print(tokenizer.decode(model.generate(**inputs, max_new_tokens=20)[0]))\n";
  out << "```\n\n";
  if (custom)
    out << "The class is in this folder, in `modeling_gptmoe.py`, so it needs `trust_remote_code=True`.\n";
  else
    out << "The class is transformers' `" << family.architecture << "`, which computes this model exactly.\n";
  if (!with_tokenizer) out << "\nThe folder has no tokenizer.\n";
  return out.str();
}

}  // namespace gptmoe
