#pragma once
// A model with its memory and its own batches, small enough for finite differences.
#include <optional>

#include "base/json.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "engine/step_queue.h"

namespace gptmoe::testing {

// A tiny config; `changes` is merged into it, section by section.
inline Config tiny_config(const nlohmann::json& changes = nlohmann::json::object()) {
  nlohmann::json config = {{"model",
                            {{"vocab_size", 29},
                             {"hidden_size", 12},
                             {"num_hidden_layers", 2},
                             {"num_attention_heads", 3},
                             {"intermediate_size", 14},
                             {"moe_intermediate_size", 10},
                             {"num_experts", 5},
                             {"num_experts_per_tok", 2},
                             {"init", "normal"},
                             {"initializer_range", 0.3}}},
                           {"data", {{"train", "none"}}},
                           {"train", {{"steps", 10}, {"sequence_length", 7}, {"micro_batch_size", 2}}},
                           {"optimizer", {{"learning_rate", 1e-2}}}};
  if (!changes.is_null()) config.merge_patch(changes);  // nlohmann::json turns {} in an initialiser list into null
  return parse_config(config, "test");
}

// Fills in batch `index` of an endless stream of random tokens and random targets.
inline void random_batch(const Tensor& tokens, const Tensor& targets, int64_t vocab_size, uint64_t index) {
  const Rng rng(99, index);
  const auto count = static_cast<uint64_t>(tokens.count());
  for (uint64_t i = 0; i < count; ++i) {
    tokens.as<int32_t>()[i] = static_cast<int32_t>(rng.below(2 * i, static_cast<uint64_t>(vocab_size)));
    targets.as<int32_t>()[i] = static_cast<int32_t>(rng.below(2 * i + 1, static_cast<uint64_t>(vocab_size)));
  }
}

// Element i of an f32 or f64 tensor in the host's memory.
inline double host_value(const Tensor& x, int64_t i) {
  GPTMOE_CHECK(i >= 0 && i < x.count(), x.describe());
  return x.dtype() == DType::f64 ? x.as<double>()[i] : static_cast<double>(x.as<float>()[i]);
}

struct Model {
  Config config;
  std::unique_ptr<Ops> ops;
  std::unique_ptr<Communicator> communicator = make_single_communicator();
  Engine engine;
  std::optional<StepQueue> steps;
  uint64_t next_index = 0;

  explicit Model(const Config& c, std::unique_ptr<Ops> backend = make_cpu_ops())
      : config(c),
        ops(std::move(backend)),
        engine(config, Purpose::train, config.train.micro_batch_size, config.train.sequence_length, *ops) {
    engine.commit(*ops);
    engine.gpt().initialize(ops->memory(), static_cast<uint64_t>(config.seed));
    steps.emplace(config, engine, *ops, *communicator);
  }

  Gpt& gpt() { return engine.gpt(); }
  const Activations& activations() const { return engine.activations(); }
  Pass pass(PassKind kind) { return {*ops, engine.scratch(), *communicator, kind, 1.0}; }

  void load_batch(uint64_t index) {
    random_batch(engine.batch_tokens_BT(), engine.batch_targets_BT(), config.model.vocab_size, index);
    engine.upload_batch();
  }
  // Trains one step on the next batches of the stream.
  StepResult step(int64_t s) {
    return step(s, [this](const Tensor& tokens, const Tensor& targets) {
      random_batch(tokens, targets, config.model.vocab_size, next_index++);
    });
  }
  StepResult step(int64_t s, const NextBatch& batches) {
    steps->ask(batches, s);
    return steps->report();
  }
  std::vector<char> parameter_bytes() {
    const Tensor& values = gpt().params().values();
    std::vector<char> bytes(static_cast<size_t>(values.bytes()));
    ops->memory().download(bytes.data(), values);
    return bytes;
  }
};

}  // namespace gptmoe::testing
