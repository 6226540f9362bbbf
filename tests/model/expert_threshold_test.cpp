// Expert Threshold in a whole model.
#include "model/gradient_check.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

// One expert of 5 per token.
json changes(int64_t warmup_steps, const char* recompute = "none") {
  return {{"router", {{"type", "expert_threshold"}, {"threshold_decay", 0.9}, {"warmup_steps", warmup_steps}}},
          {"model", {{"router_aux_loss_coef", 0.0}, {"num_experts_per_tok", 1}}},
          {"train", {{"recompute", recompute}, {"steps", 200}}},
          {"optimizer", {{"learning_rate", 3e-4}}}};
}

// After the warm-up, training and evaluation choose the same experts.
TEST(ExpertThreshold, HasTheExactGradient) {
  for (const char* recompute : {"none", "block"}) {
    SCOPED_TRACE(recompute);
    Model model(tiny_config(changes(1, recompute)), make_cpu_ops_f64());
    model.step(0);
    model.load_batch(0);
    const Activations& a = model.activations();
    const Pass pass = model.pass(PassKind::train);
    model.ops->zero(model.gpt().params().grads());
    model.gpt().forward(pass, a);
    model.gpt().loss_and_backward(pass, a, 1.0 / static_cast<double>(a.losses_N.size(0)));
    expect_central_differences(model, [&] { return objective(model); });
  }
}

// Each expert's share of the tokens, as the mean over steps [first, 200).
std::vector<double> mean_shares(int64_t warmup_steps, int64_t first, int64_t layer) {
  Model model(tiny_config(changes(warmup_steps)));
  std::vector<double> shares(5);
  for (int64_t s = 0; s < 200; ++s) {
    model.step(s);
    const Tensor& stats = model.activations().router_stats_LW;
    for (int64_t e = 0; s >= first && e < 5; ++e)
      shares[static_cast<size_t>(e)] += host_value(stats, layer * stats.size(1) + e) / static_cast<double>(200 - first);
  }
  return shares;
}

TEST(ExpertThreshold, WarmUpBalancesEveryMicroBatch) {
  for (int64_t layer : {0, 1})
    for (double share : mean_shares(1000, 0, layer)) EXPECT_NEAR(share, 0.2, 0.05);
}

TEST(ExpertThreshold, ThresholdsBalanceTheLoadOverTime) {
  for (int64_t layer : {0, 1})
    for (double share : mean_shares(1, 100, layer)) EXPECT_NEAR(share, 0.2, 0.05);
}

TEST(ExpertThreshold, TokensRunDifferentNumbersOfExperts) {
  Model model(tiny_config(changes(1)));
  for (int64_t s = 0; s < 20; ++s) model.step(s);
  const Tensor& ids_NE = model.activations().blocks[0].moe.routing.expert_ids_NK;
  std::vector<int> tokens_with(6);
  for (int64_t n = 0; n < ids_NE.size(0); ++n) {
    size_t live = 0;
    for (int64_t e = 0; e < 5; ++e) live += ids_NE.as<int32_t>()[n * 5 + e] >= 0;
    ++tokens_with[live];
  }
  EXPECT_GT(tokens_with[0], 0);
  EXPECT_GT(tokens_with[1], 0);
  EXPECT_GT(tokens_with[2] + tokens_with[3] + tokens_with[4] + tokens_with[5], 0);
}

}  // namespace
}  // namespace gptmoe::testing
