#include "routing/routing_policy.h"

namespace gptmoe {

// One line per router: the name in the config, which is also the NAME of its factory make_NAME_policy. A factory reads
// its keys from the block; whatever it leaves unread is refused.
#define GPTMOE_ROUTERS(ROUTER) \
  ROUTER(topk)                 \
  ROUTER(default)              \
  ROUTER(dense)                \
  ROUTER(dense_gradient)       \
  ROUTER(loss_free)            \
  ROUTER(remoe)                \
  ROUTER(sparsemixer)

#define DECLARE(name) std::unique_ptr<RoutingPolicy> make_##name##_policy(const RouterSetup&, JsonSection&);
GPTMOE_ROUTERS(DECLARE)
#undef DECLARE

namespace {

struct Entry {
  const char* type;
  std::unique_ptr<RoutingPolicy> (*make)(const RouterSetup&, JsonSection&);
};

#define ENTRY(name) Entry{#name, make_##name##_policy},
constexpr Entry kRegistry[] = {GPTMOE_ROUTERS(ENTRY)};
#undef ENTRY

}  // namespace

RouterSetup router_setup(const ModelConfig& config) {
  return {config.num_experts,          config.num_experts_per_tok, config.hidden_size, config.norm_topk_prob,
          config.router_aux_loss_coef, config.router_z_loss_coef,  config.moe_layers()};
}

std::unique_ptr<RoutingPolicy> make_routing_policy(const RouterConfig& config, const RouterSetup& setup,
                                                   const std::string& file) {
  JsonSection block(config.block, "router", file);
  std::vector<std::string> types;
  for (const Entry& entry : kRegistry) {
    types.push_back(entry.type);
    if (config.type != entry.type) continue;
    auto policy = entry.make(setup, block);
    block.finish();
    return policy;
  }
  const std::string nearest = nearest_word(config.type, types);
  std::string known;
  for (const std::string& type : types) known += (known.empty() ? "\"" : ", \"") + type + "\"";
  block.fail("type", text("unknown router \"", config.type, "\"; known: ", known,
                          nearest.empty() ? "" : "; did you mean \"" + nearest + "\"?"));
}

void check_router(const Config& config, const std::string& file) {
  make_routing_policy(config.router, router_setup(config.model), file);
}

}  // namespace gptmoe
