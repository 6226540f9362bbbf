#include "base/key_error.h"
#include "config/config.h"
#include "config/config_fields.h"
#include "config/field_reader.h"
#include "config/other_names.h"
#include "config/validate.h"

namespace gptmoe {
namespace {

// The defaults that follow from other keys. These fields are 0 if the file does not give them.
void derive_defaults(Config& config, const std::string& file) {
  ModelConfig& model = config.model;
  if (model.num_key_value_heads == 0) model.num_key_value_heads = model.num_attention_heads;
  if (model.head_dim == 0) {
    if (model.hidden_size % model.num_attention_heads != 0)
      throw KeyError(file, "model.num_attention_heads",
                     text(model.num_attention_heads, " does not divide hidden_size ", model.hidden_size,
                          "; change one of them, or give head_dim"));
    model.head_dim = model.hidden_size / model.num_attention_heads;
  }
  if (model.max_position_embeddings == 0) model.max_position_embeddings = config.train.sequence_length;
  TrainConfig& train = config.train;
  if (train.global_batch_size == 0 && train.auto_micro_batch())
    throw KeyError(file, "train.global_batch_size",
                   "missing; micro_batch_size \"auto\" needs it: give the sequences of a step");
  if (train.global_batch_size == 0) train.global_batch_size = train.micro_batch_size;
}

}  // namespace

Config parse_config(const JsonValue& json, const std::string& file) {
  Config config;
  FieldReader reader({json, "", file, hint_for_key});
  visit_fields(reader, config);
  reader.finish();
  derive_defaults(config, file);
  validate(config, file);
  return config;
}

}  // namespace gptmoe
