#include "routing/router_table.h"

#include "base/nearest_word.h"
#include "config/field_reader.h"
#include "config/other_names.h"

namespace gptmoe {

// One line per router: the function that its file defines.
#define GPTMOE_ROUTERS(ROUTER)  \
  ROUTER(topk_router)           \
  ROUTER(default_router)        \
  ROUTER(dense_router)          \
  ROUTER(dense_gradient_router) \
  ROUTER(loss_free_router)      \
  ROUTER(remoe_router)          \
  ROUTER(sparsemixer_router)    \
  ROUTER(expert_threshold_router)

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

// Whether a router has a key.
class KeySearch final : public Fields {
 public:
  explicit KeySearch(std::string key) : key_(std::move(key)) {}
  bool finds_in(const Router& router, const RouterSetup& setup) {
    try {
      router.make(setup, *this);
    } catch (const KeyError&) {  // the router does not support the setup, but has visited its keys
    }
    return found_;
  }
  void others(JsonValue&) override {}

 private:
  void visit(const Field& field, int64_t&, const Integers&) override { note(field); }
  void visit(const Field& field, double&, const Numbers&) override { note(field); }
  void visit(const Field& field, std::string&, const Words&) override { note(field); }
  void visit(const Field& field, bool&) override { note(field); }
  void visit_section(const char*, const std::function<void(Fields&)>&) override {}
  void note(const Field& field) { found_ = found_ || key_ == field.key; }

  std::string key_;
  bool found_ = false;
};

// The hint for an unknown key of the block of router `type`: the routers that have the key.
KeyHint hint_for_router_key(const std::string& path, const std::string& type, const RouterSetup& setup) {
  const std::string key = path.substr(path.rfind('.') + 1);
  std::string owners;
  for (const Router& router : routers())
    if (KeySearch(key).finds_in(router, setup)) owners += text(owners.empty() ? "" : ", ", '"', router.name, '"');
  if (owners.empty()) return hint_for_key(path);
  return {"", text("it belongs to router ", owners, ", but router.type is \"", type, "\"")};
}

}  // namespace

std::unique_ptr<RoutingPolicy> make_routing_policy(const RouterConfig& config, const RouterSetup& setup,
                                                   const std::string& file) {
  const auto hint = [&](const std::string& path) { return hint_for_router_key(path, config.type, setup); };
  FieldReader reader({config.block, "router", file, hint});
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
