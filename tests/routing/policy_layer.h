#pragma once
// One layer's routing policy on the CPU, with memory for micro-batches of N tokens.
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/json.h"
#include "routing/router_table.h"

namespace gptmoe {

class PolicyLayer {
 public:
  PolicyLayer(const RouterConfig& router, const RouterSetup& setup, int64_t N, uint64_t seed = 1)
      : setup_(setup), policy_(make_routing_policy(router, setup)) {
    policy_->declare_state(state_, "layer.", DType::f32);
    lay_out(N);
    arena_.commit();
    scratch_.allocate(DType::f32, {1 << 14});
    scratch_.rewind(0);
    scratch_.commit();
    lay_out(N);
    policy_->initialize_state(host_memory(), seed);
  }

  void route(const std::vector<float>& logits, PassKind kind = PassKind::train) {
    ASSERT_EQ(static_cast<int64_t>(logits.size()), logits_NE.count());
    std::copy(logits.begin(), logits.end(), logits_NE.as<float>());
    policy_->route(pass(kind), routing, logits_NE);
    ops_->sort_by_expert(routing.offsets_E1, routing.slots_R, routing.positions_NK, routing.expert_ids_NK);
  }
  // Returns dlogits_NE for dy_NC, after route() and with the current rows_RC.
  std::vector<float> backward(const std::vector<float>& dy) {
    const Pass train = pass(PassKind::train);
    Scratch::Frame frame(scratch_);
    const Tensor drows_RC = frame.allocate(DType::f32, {rows_RC.size(0), rows_RC.size(1)});
    const Tensor dy_NC = frame.allocate(DType::f32, {y_NC.size(0), y_NC.size(1)});
    const Tensor dprobs_NE = frame.allocate(DType::f32, {logits_NE.size(0), logits_NE.size(1)});
    std::copy(dy.begin(), dy.end(), dy_NC.as<float>());
    policy_->combine_backward(train, routing, drows_RC, dprobs_NE, dy_NC, rows_RC);
    policy_->route_backward(train, routing, dprobs_NE, dprobs_NE);
    return {dprobs_NE.as<float>(), dprobs_NE.as<float>() + dprobs_NE.count()};
  }
  // Routes the same logits again, as in an evaluation.
  void route_to_evaluate() {
    const std::vector<float> logits(logits_NE.as<float>(), logits_NE.as<float>() + logits_NE.count());
    route(logits, PassKind::evaluate);
  }
  // Returns dprobs_NE and drows_RC for dy_NC, after route() and with the current rows_RC.
  std::pair<std::vector<float>, std::vector<float>> combine_gradients(const std::vector<float>& dy) {
    Scratch::Frame frame(scratch_);
    const Tensor drows_RC = frame.allocate(DType::f32, {rows_RC.size(0), rows_RC.size(1)});
    const Tensor dy_NC = frame.allocate(DType::f32, {y_NC.size(0), y_NC.size(1)});
    const Tensor dprobs_NE = frame.allocate(DType::f32, {logits_NE.size(0), logits_NE.size(1)});
    std::copy(dy.begin(), dy.end(), dy_NC.as<float>());
    policy_->combine_backward(pass(PassKind::train), routing, drows_RC, dprobs_NE, dy_NC, rows_RC);
    return {{dprobs_NE.as<float>(), dprobs_NE.as<float>() + dprobs_NE.count()},
            {drows_RC.as<float>(), drows_RC.as<float>() + drows_RC.count()}};
  }
  void observe() { policy_->observe(pass(PassKind::train), routing, rows_RC); }
  void combine() { policy_->combine(pass(PassKind::train), routing, y_NC, rows_RC); }
  // Two squared norms: of what the last combine() filled in for unchosen experts, and of its output.
  std::pair<float, float> fill_norms() {
    policy_->fill_norms(pass(PassKind::evaluate), routing, y_NC);
    return {routing.fill_norms_2.as<float>()[0], routing.fill_norms_2.as<float>()[1]};
  }
  void end_step() { policy_->end_step(pass(PassKind::train)); }

  const StateTable& state() const { return state_; }
  // The state row whose name ends in `suffix`.
  const Tensor& state(std::string_view suffix) const {
    for (const StateRow& row : state_.rows())
      if (row.name.ends_with(suffix)) return row.value;
    GPTMOE_CHECK(false, "no state ", suffix);
  }
  std::vector<int32_t> chosen() const {
    return {routing.expert_ids_NK.as<int32_t>(), routing.expert_ids_NK.as<int32_t>() + routing.expert_ids_NK.count()};
  }

  Routing routing;
  Tensor logits_NE, rows_RC, y_NC;

 protected:
  Pass pass(PassKind kind) { return {*ops_, scratch_, *communicator_, kind}; }

 private:
  void lay_out(int64_t N) {
    const int64_t E = setup_.num_experts, K = policy_->experts_per_token(), C = setup_.hidden_size;
    state_.allocate(arena_);
    routing = allocate_routing(arena_, *policy_, N, E, DType::f32);
    routing.fractions_E = arena_.allocate(DType::f32, {E});
    routing.balance_fractions_E = arena_.allocate(DType::f32, {E});
    routing.fill_norms_2 = arena_.allocate(DType::f32, {2});
    logits_NE = arena_.allocate(DType::f32, {N, E});
    rows_RC = arena_.allocate(DType::f32, {N * K, C});
    y_NC = arena_.allocate(DType::f32, {N, C});
  }

  RouterSetup setup_;
  std::unique_ptr<RoutingPolicy> policy_;
  StateTable state_;
  Arena arena_{"test"};
  Scratch scratch_;
  std::unique_ptr<Ops> ops_ = make_cpu_ops(1);
  std::unique_ptr<Communicator> communicator_ = make_single_communicator();
};

}  // namespace gptmoe
