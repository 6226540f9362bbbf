#include "engine/describe.h"

#include <algorithm>
#include <cstdio>

#include "base/json.h"
#include "base/progress.h"
#include "routing/router_table.h"

namespace gptmoe {

std::string describe_model(const ModelConfig& c) {
  const std::string kind = c.num_experts == 0 ? "dense"
                                              : text(c.num_experts, "c", c.num_experts_per_tok, " MoE (", c.num_experts,
                                                     " experts of ", c.moe_intermediate_size, ")");
  std::string layers = text(c.num_hidden_layers, " layers");
  if (c.num_experts > 0 && c.first_k_dense_replace > 0) layers += text(" (", c.first_k_dense_replace, " dense)");
  std::string heads = text(c.num_attention_heads, " heads of ", c.head_dim);
  if (c.num_key_value_heads != c.num_attention_heads) heads += text(" (", c.num_key_value_heads, " key/value)");
  return text(kind, ", ", layers, ", width ", c.hidden_size, ", ", heads, ", vocabulary ", grouped_digits(c.vocab_size),
              c.tie_word_embeddings ? ", tied head" : "");
}

std::string describe_parameters(const Gpt& gpt) {
  return text(grouped_digits(gpt.params().parameter_count()), " total, ", grouped_digits(gpt.active_parameter_count()),
              " active per token");
}

std::string describe_router(const RouterConfig& router) {
  return router.block->empty() ? router.type : router.type + " " + router.block->dump();
}

std::string describe_moments(const OptimizerConfig& config) {
  if (config.state_dtype == "8bit") return "8-bit codes, rounded at random";
  return config.state_dtype == "bf16" ? "bf16, rounded at random" : "";
}

std::string describe_average(const Config& config, int64_t ranks) {
  if (config.model.moe_layers() == 0) return "";
  const auto average = make_routing_policy(config.router, router_setup(config.model))->moving_average();
  if (!average) return "";
  const TrainConfig& t = config.train;
  const int64_t sequences =
      average->once_per_step ? t.global_batch_size : std::min(t.micro_batch_size * ranks, t.global_batch_size);
  const auto tokens = static_cast<double>(sequences * t.sequence_length);
  return text(average->name, " over ", metric_count(average->moves * tokens), " tokens: ", metric_count(average->moves),
              average->once_per_step ? " steps of " : " micro-batches of ", metric_count(tokens),
              average->once_per_step || ranks == 1 ? "" : ", over all ranks");
}

std::string describe_memory(const Engine& engine) {
  std::string out;
  for (const Engine::ArenaSize& arena : engine.arena_sizes())
    if (arena.bytes > 0) out += arena.name + " " + binary_bytes(arena.bytes) + ", ";
  return out + binary_bytes(engine.total_bytes()) + " in total";
}

std::string memory_table(const Engine& engine) {
  std::string out;
  const auto add = [&](const std::string& name, int64_t bytes) {
    char line[64];
    std::snprintf(line, sizeof line, "%s  %-20s %12s", out.empty() ? "" : "\n", name.c_str(),
                  binary_bytes(bytes).c_str());
    out += line;
  };
  for (const Engine::ArenaSize& arena : engine.arena_sizes()) add(arena.name, arena.bytes);
  add("total", engine.total_bytes());
  return out;
}

}  // namespace gptmoe
