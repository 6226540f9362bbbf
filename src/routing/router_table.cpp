#include "routing/router_table.h"

#include "config/field_reader.h"
#include "config/nearest_word.h"

namespace gptmoe {

// One line per router: the function that its file defines.
#define GPTMOE_ROUTERS(ROUTER)  \
  ROUTER(topk_router)           \
  ROUTER(default_router)        \
  ROUTER(dense_router)          \
  ROUTER(dense_gradient_router) \
  ROUTER(loss_free_router)      \
  ROUTER(remoe_router)          \
  ROUTER(sparsemixer_router)

#define DECLARE(router) Router router();
GPTMOE_ROUTERS(DECLARE)
#undef DECLARE

const std::vector<Router>& routers() {
#define CALL(router) router(),
  static const std::vector<Router> table = {GPTMOE_ROUTERS(CALL)};
#undef CALL
  return table;
}

std::vector<std::string> router_names() {
  std::vector<std::string> names;
  for (const Router& router : routers()) names.push_back(router.name);
  return names;
}

namespace {

const Router& find_router(const std::string& name, const Fields& fields) {
  std::string known;
  for (const Router& router : routers()) {
    if (name == router.name) return router;
    known += text(known.empty() ? "\"" : ", \"", router.name, "\"");
  }
  const std::string nearest = nearest_word(name, router_names());
  fields.fail("type", text("unknown router \"", name, "\"; known: ", known,
                           nearest.empty() ? "" : "; did you mean \"" + nearest + "\"?"));
}

}  // namespace

std::unique_ptr<RoutingPolicy> make_routing_policy(const RouterConfig& config, const RouterSetup& setup,
                                                   const std::string& file) {
  FieldReader reader({config.block, "router", file});
  auto policy = find_router(config.type, reader).make(setup, reader);
  reader.finish();
  return policy;
}

RouterSetup router_setup(const ModelConfig& config) {
  return {.num_experts = config.num_experts,
          .num_experts_per_tok = config.num_experts_per_tok,
          .hidden_size = config.hidden_size,
          .norm_topk_prob = config.norm_topk_prob,
          .aux_scale = config.router_aux_loss_coef,
          .z_loss_scale = config.router_z_loss_coef,
          .moe_layers = config.moe_layers()};
}

void check_router(const Config& config, const std::string& file) {
  make_routing_policy(config.router, router_setup(config.model), file);
}

}  // namespace gptmoe
