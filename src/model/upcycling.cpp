#include "model/upcycling.h"

#include <algorithm>

#include "base/json.h"
#include "base/rng.h"
#include "kernels/plan_ops.h"
#include "routing/router_table.h"

namespace gptmoe {
namespace {

constexpr int64_t kTokens = 64;

// A layer of experts that all give 1 for every token.
class EqualExperts {
 public:
  EqualExperts(const RouterConfig& router, RouterSetup setup) : setup_(setup) {
    setup_.hidden_size = 1;
    policy_ = make_routing_policy(router, setup_);
    policy_->declare_state(state_, "", DType::f32);
    Ops plan = make_plan_ops(*ops_);
    lay_out();
    route_and_combine(plan);  // measures the scratch memory that the call needs
    arena_.commit();
    scratch_.commit();
    lay_out();
    policy_->initialize_state(host_memory(), 1);
  }

  // The layer's output for each token.
  std::vector<double> outputs() {
    const Rng rng(1, 0);
    for (int64_t i = 0; i < logits_NE_.count(); ++i)
      logits_NE_.as<float>()[i] = static_cast<float>(kUpcycledRouterScale * rng.normal(static_cast<uint64_t>(i)));
    std::fill_n(rows_R1_.as<float>(), rows_R1_.count(), 1.0f);
    route_and_combine(*ops_);
    return values_at(y_N1_.data(), DType::f32, kTokens);
  }

 private:
  void lay_out() {
    const int64_t E = setup_.num_experts;
    state_.allocate(arena_);
    routing_ = allocate_routing(arena_, *policy_, kTokens, E, DType::f32);
    logits_NE_ = arena_.allocate(DType::f32, {kTokens, E});
    rows_R1_ = arena_.allocate(DType::f32, {routing_.slots_R.size(0), 1});
    y_N1_ = arena_.allocate(DType::f32, {kTokens, 1});
  }

  void route_and_combine(Ops& ops) {
    const Pass pass{ops, scratch_, *communicator_, PassKind::evaluate};
    policy_->route(pass, routing_, logits_NE_);
    ops.sort_by_expert(routing_.offsets_E1, routing_.slots_R, routing_.positions_NK, routing_.expert_ids_NK);
    policy_->combine(pass, routing_, y_N1_, rows_R1_);
  }

  RouterSetup setup_;
  std::unique_ptr<RoutingPolicy> policy_;
  StateTable state_;
  Arena arena_{"equal experts"};
  Scratch scratch_;
  Routing routing_;
  Tensor logits_NE_, rows_R1_, y_N1_;
  std::unique_ptr<Ops> ops_ = make_cpu_ops();
  std::unique_ptr<Communicator> communicator_ = make_single_communicator();
};

}  // namespace

double upcycled_output_scale(const ModelConfig& model, const RouterConfig& router) {
  if (model.n_shared_experts > 0)
    user_error(
        "train.init_from: dense layers can become experts only without shared experts; set "
        "model.n_shared_experts = 0");
  if (router.type == "default" && router.block->value("ema_weighting", "score") != "score")
    user_error(
        "train.init_from: dense layers can become the experts of the default router only with "
        "router.ema_weighting = \"score\"; with the other weightings the default vectors would grow to E / K times "
        "the dense layer's mean output");
  const std::vector<double> outputs = EqualExperts(router, router_setup(model)).outputs();
  const auto [low, high] = std::minmax_element(outputs.begin(), outputs.end());
  constexpr double kSpread = 1e-3;
  if (*low <= 0 || *high - *low > kSpread * *high)
    user_error("train.init_from: dense layers cannot become the experts of router.type = \"", router.type,
               "\": at the start its gates sum to ", *low, " for one token and to ", *high,
               " for another; choose a router whose gates start equal, such as \"topk\" or \"default\"");
  double sum = 0;
  for (const double output : outputs) sum += output;
  return static_cast<double>(kTokens) / sum;
}

}  // namespace gptmoe
