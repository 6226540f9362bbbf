// SparseMixer in a whole model.
#include "model/gradient_check.h"

namespace gptmoe::testing {
namespace {

// With the draws held fixed, SparseMixer's estimate is the exact gradient if every gate equals its full share. The test
// tries sampler keys until this holds for a micro-batch with some truly random draws.
TEST(SparsemixerGradient, MatchesCentralDifferencesIfEveryGateIsItsFullShare) {
  Model model(tiny_config({{"model", {{"router_aux_loss_coef", 0.0}}},
                           {"router", {{"type", "sparsemixer"}, {"jitter", 0.05}}}}),
              make_cpu_ops_f64());
  const Activations& a = model.activations();
  model.load_batch(1);  // a batch without logits at the edge of the range that may be drawn
  const Pass pass = model.pass(PassKind::train);
  const auto drawn_whole = [&] {
    int undecided = 0;
    for (const BlockSaved& block : a.blocks) {
      const Routing& routing = block.moe.routing;
      for (int64_t slot = 0; slot < routing.gates_NK.count(); ++slot) {
        const double share = host_value(routing.kept_NW, slot * 5 + routing.expert_ids_NK.as<int32_t>()[slot]);
        if (host_value(routing.gates_NK, slot) != share) return false;
        undecided += share < 0.9;
      }
    }
    return undecided >= 3;
  };
  bool found = false;
  for (int64_t key = 0; key < 1000 && !found; ++key) {
    for (const StateRow& row : model.gpt().state().rows()) row.value.as<int64_t>()[0] = key;
    model.gpt().forward(pass, a);
    found = drawn_whole();
  }
  ASSERT_TRUE(found);
  model.ops->zero(model.gpt().params().grads());
  model.gpt().loss_and_backward(pass, a, 1.0 / static_cast<double>(a.losses_N.size(0)));
  expect_central_differences(model, [&] { return objective(model, PassKind::recompute); });
}

}  // namespace
}  // namespace gptmoe::testing
