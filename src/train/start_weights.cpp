#include "train/start_weights.h"

#include <algorithm>

#include "base/folder.h"
#include "base/joined.h"
#include "base/json.h"
#include "base/progress.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/held_checkpoint.h"
#include "huggingface/model_folder.h"
#include "model/upcycling.h"
#include "records/run_folder.h"
#include "train/run_directory.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

// Keys that change what the same weights compute, but not the shape of any tensor: keys of any model, and keys of
// models with experts.
const std::vector<std::string> kMeaning = {
    "model.num_attention_heads", "model.num_key_value_heads", "model.head_dim",   "model.hidden_act",
    "model.norm_type",           "model.rms_norm_eps",        "model.rope_theta", "model.tie_word_embeddings",
    "model.logit_softcap",       "data.document_mask"};
const std::vector<std::string> kMeaningOfExperts = {"model.num_experts_per_tok", "model.norm_topk_prob", "router.type",
                                                    "router.gate", "router.routed_scaling_factor"};

bool holds(const std::vector<std::string>& keys, const std::string& key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

}  // namespace

fs::path resolve_start(const fs::path& from) {
  if (is_model_folder(from)) return fs::canonical(from);
  if (anything_at(from) && !anything_at(from / kCheckpointStateFile) && !anything_at(from / kCheckpointsFolder))
    user_error(from.string(), ": neither a run's folder (which holds checkpoints/) nor a checkpoint (which holds ",
               "state.json) nor a Hugging Face folder (whose config.json has a model_type)");
  return fs::canonical(resolve_checkpoint(from));
}

std::string start_checksum(const fs::path& start) {
  return is_model_folder(start) ? WeightFiles(start).checksum(nullptr) : model_checksum(start);
}

// The model whose weights are loaded.
struct StartWeights::Source {
  fs::path path;
  std::string kind;  // in words, for the user
  std::string checksum;
  Config config;
  std::shared_ptr<const TensorReader> tensors;
  std::vector<std::string> ignored_keys = {};  // of a ModelFolder
};

std::shared_ptr<const StartWeights::Source> StartWeights::open(const Config& config, World& world) {
  const fs::path path = resolve_start(config.train.init_from);
  if (is_model_folder(path)) {
    const auto model = std::make_shared<const ModelFolder>(path);
    return std::make_shared<const Source>(Source{path, model->family().architecture, model->checksum(&world),
                                                 model->config(), model, model->ignored_keys()});
  }
  const HeldFolder hold(path, HeldFolder::Use::read);  // its run may be training
  ModelFile file = open_model(path, &world);
  return std::make_shared<const Source>(Source{path, text("step ", file.state.step), file.checksum,
                                               parse_config(file.state.config, path.string()),
                                               std::make_shared<const SafetensorsFile>(std::move(file.tensors))});
}

StartWeights::StartWeights(const Config& config, const Engine& engine, World& world)
    : StartWeights(config, engine, open(config, world)) {}

StartWeights::StartWeights(const Config& config, const Engine& engine, const std::shared_ptr<const Source>& source)
    : source_(source), weights_(*source->tensors, source->path.string(), engine.gpt().params(), engine.gpt().state()) {
  lines_.push_back(
      text("from ", source->path.string(), " (", source->kind, "); optimizer, schedule and data begin anew"));
  if (!source_->ignored_keys.empty())
    lines_.push_back("ignored: unknown keys of config.json: " + joined(source_->ignored_keys));
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
  if (!weights_.missing().empty()) lines_.push_back("not in that model, initialised: " + joined(weights_.missing()));
  if (!weights_.left_over().empty()) lines_.push_back("only in that model, unused: " + joined(weights_.left_over()));
  for (const auto& [key, change] : config_changes(source->config, config))
    if (holds(kMeaning, key) || (source->config.model.num_experts > 0 && holds(kMeaningOfExperts, key)))
      lines_.push_back(text(key, " was ", change.was->dump(), " there, and is ", change.is->dump(), " here"));
}

void StartWeights::load(const Engine& engine, Memory& memory) const {
  weights_.load(engine.gpt().params(), engine.gpt().state(), memory, upcycling_);
}

StartingWeights StartWeights::record() const { return {source_->path.string(), source_->checksum}; }

}  // namespace gptmoe
