#include "train/start_weights.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/progress.h"
#include "model/upcycling.h"
#include "train/run_directory.h"

namespace gptmoe {
namespace {

// Keys that no tensor's shape shows and that change what the same weights compute: those of any model, and those of
// models with experts.
const std::vector<std::string> kMeaning = {
    "model.num_attention_heads", "model.num_key_value_heads", "model.head_dim",   "model.hidden_act",
    "model.norm_type",           "model.rms_norm_eps",        "model.rope_theta", "model.tie_word_embeddings"};
const std::vector<std::string> kMeaningOfExperts = {"model.num_experts_per_tok", "model.norm_topk_prob", "router.type"};

bool holds(const std::vector<std::string>& keys, const std::string& key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

}  // namespace

StartWeights::StartWeights(const Config& config, const Engine& engine, World& world)
    : weights_(config.train.init_from, engine.gpt().params(), engine.gpt().state(), &world) {
  const CheckpointState& source = weights_.state();
  lines_.push_back(text("from ", weights_.checkpoint().string(), " (step ", source.step,
                        "); optimizer, schedule and data begin anew"));
  if (weights_.upcycled_rows() > 0) {
    upcycling_ = {upcycled_output_scale(config.model, config.router), kUpcycledRouterScale, config.train.init_noise,
                  static_cast<uint64_t>(config.seed)};
    lines_.push_back(text(grouped_digits(weights_.upcycled_rows()),
                          " tensors of experts are copies from dense layers, down projections times ",
                          upcycling_.output_scale,
                          upcycling_.noise > 0 ? text(", with noise of ", upcycling_.noise, " of their size") : ""));
  } else if (config.train.init_noise > 0) {
    user_error("train.init_noise: ", config.train.init_noise,
               ", but no expert starts as a copy of a dense layer; remove it");
  }
  if (!weights_.missing().empty()) lines_.push_back("missing there, initialised: " + joined(weights_.missing()));
  if (!weights_.left_over().empty()) lines_.push_back("left over there, unused: " + joined(weights_.left_over()));
  const Config other = parse_config(source.config, weights_.checkpoint().string());
  for (const auto& [key, change] : config_changes(other, config))
    if (holds(kMeaning, key) || (other.model.num_experts > 0 && holds(kMeaningOfExperts, key)))
      lines_.push_back(text(key, " was ", change.was->dump(), " there, and is ", change.is->dump(), " here"));
}

void StartWeights::load(const Engine& engine, Memory& memory) const {
  weights_.load(engine.gpt().params(), engine.gpt().state(), memory, upcycling_);
}

StartingWeights StartWeights::record() const { return {weights_.checkpoint().string(), weights_.checksum()}; }

}  // namespace gptmoe
