#include "config/field_reader.h"
#include "config/nearest_word.h"
#include "routing/routing_policy.h"

namespace gptmoe {

// One line per router: the name in the config, which is also the NAME of its factory make_NAME_policy. A factory names
// its keys, with their meaning; any other key in the config is refused.
#define GPTMOE_ROUTERS(ROUTER) \
  ROUTER(topk)                 \
  ROUTER(default)              \
  ROUTER(dense)                \
  ROUTER(dense_gradient)       \
  ROUTER(loss_free)            \
  ROUTER(remoe)                \
  ROUTER(sparsemixer)

#define DECLARE(name) std::unique_ptr<RoutingPolicy> make_##name##_policy(const RouterSetup&, Fields&);
GPTMOE_ROUTERS(DECLARE)
#undef DECLARE

namespace {

struct Entry {
  const char* type;
  std::unique_ptr<RoutingPolicy> (*make)(const RouterSetup&, Fields&);
};

#define ENTRY(name) Entry{#name, make_##name##_policy},
constexpr Entry kRegistry[] = {GPTMOE_ROUTERS(ENTRY)};
#undef ENTRY

}  // namespace

RouterSetup router_setup(const ModelConfig& config) {
  return {.num_experts = config.num_experts,
          .num_experts_per_tok = config.num_experts_per_tok,
          .hidden_size = config.hidden_size,
          .norm_topk_prob = config.norm_topk_prob,
          .aux_scale = config.router_aux_loss_coef,
          .z_loss_scale = config.router_z_loss_coef,
          .moe_layers = config.moe_layers()};
}

std::vector<std::string> router_types() {
  std::vector<std::string> types;
  for (const Entry& entry : kRegistry) types.push_back(entry.type);
  return types;
}

std::unique_ptr<RoutingPolicy> make_routing_policy(const std::string& type, const RouterSetup& setup, Fields& fields) {
  std::string known;
  for (const Entry& entry : kRegistry) {
    if (type == entry.type) return entry.make(setup, fields);
    known += text(known.empty() ? "\"" : ", \"", entry.type, "\"");
  }
  const std::string nearest = nearest_word(type, router_types());
  fields.fail("type", text("unknown router \"", type, "\"; known: ", known,
                           nearest.empty() ? "" : "; did you mean \"" + nearest + "\"?"));
}

std::unique_ptr<RoutingPolicy> make_routing_policy(const RouterConfig& config, const RouterSetup& setup,
                                                   const std::string& file) {
  FieldReader reader({config.block, "router", file});
  auto policy = make_routing_policy(config.type, setup, reader);
  reader.finish();
  return policy;
}

void check_router(const Config& config, const std::string& file) {
  make_routing_policy(config.router, router_setup(config.model), file);
}

}  // namespace gptmoe
