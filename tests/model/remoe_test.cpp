// ReMoE in a whole model.
#include "model/gradient_check.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

json without_balance_loss(const char* router) {
  return {{"router", {{"type", router}}}, {"model", {{"router_aux_loss_coef", 0.0}}}};
}

// The objective with ReMoE's L1 loss in place of the balance loss. The first row of state is the L1 loss's coefficient.
double l1_objective(Model& model) {
  double sum = 0, layers = 0;
  const double cross_entropy = objective(model);
  for (const BlockSaved& block : model.activations().blocks) {
    sum += host_value(block.moe.balance_loss_1, 0);
    ++layers;
  }
  return cross_entropy + host_value(model.gpt().state().value({0}), 0) * sum / layers;
}

TEST(Remoe, HasTheExactGradientOfItsL1Norm) {
  for (const char* recompute : {"none", "block"})
    for (const char* activation : {"silu", "gelu"}) {
      SCOPED_TRACE(text(recompute, ", ", activation));
      json changes = without_balance_loss("remoe");
      changes["model"]["hidden_act"] = activation;
      changes["train"]["recompute"] = recompute;
      Model model(tiny_config(changes), make_cpu_ops_f64());
      expect_exact_gradient(model, [&] { return l1_objective(model); });
    }
}

// FLOPs and active parameters count the K experts that ReMoE aims at; memory is planned for all E.
TEST(Remoe, IsPlannedForItsTargetNumberOfExperts) {
  Model topk(tiny_config(without_balance_loss("topk"))), remoe(tiny_config(without_balance_loss("remoe")));
  EXPECT_EQ(remoe.engine.forward_flops_per_token(), topk.engine.forward_flops_per_token());
  EXPECT_EQ(remoe.engine.backward_flops_per_token(), topk.engine.backward_flops_per_token());
  EXPECT_EQ(remoe.gpt().active_parameter_count(), topk.gpt().active_parameter_count());
  EXPECT_EQ(remoe.activations().blocks[0].moe.rows_RC.size(0), 5 * topk.activations().losses_N.size(0));
}

// Lambda drives the number of active experts to its target while the model learns.
TEST(Remoe, ConvergesToItsTargetNumberOfExperts) {
  json config = without_balance_loss("remoe");
  config["model"]["num_experts_per_tok"] = 1;
  config["router"]["l1_coefficient"] = 1e-2;
  config["router"]["l1_factor"] = 1.05;
  config["train"]["steps"] = 400;
  config["optimizer"]["learning_rate"] = 3e-3;
  Model model(tiny_config(config));
  const auto live_per_token = [&] {
    double sum = 0;
    const Tensor& stats = model.activations().router_stats_LW;
    for (int64_t layer = 0; layer < 2; ++layer)
      for (int64_t e = 0; e < 5; ++e) sum += host_value(stats, layer * stats.size(1) + e) / 2;
    return sum;
  };
  model.step(0);
  EXPECT_GT(live_per_token(), 1.8) << "at first about half of all experts";
  double late = 0;
  for (int64_t s = 1; s < 400; ++s) {
    model.next_index = 0;  // the same batch every time
    model.step(s);
    if (s >= 300) late += live_per_token() / 100;
  }
  EXPECT_NEAR(late, 1, 0.1);
}

}  // namespace
}  // namespace gptmoe::testing
