#include "model/moe_observer.h"

#include <gtest/gtest.h>

#include "support/model_fixture.h"

namespace gptmoe::testing {
namespace {

// Records what it observes, in order.
class Recorder : public MoeObserver {
 public:
  void forward(const Routing&, const Tensor& rows_RC) override {
    forwards.push_back(download_values(host_memory(), rows_RC));
  }
  void backward(const Routing& routing, const Tensor& x_NC, const Tensor& dy_NC, const Tensor& dprobs_NE) override {
    EXPECT_TRUE(dprobs_NE.has_sizes({routing.probs_NE.size(0), routing.probs_NE.size(1)}));
    xs.push_back(download_values(host_memory(), x_NC));
    dys.push_back(download_values(host_memory(), dy_NC));
    dprobs.push_back(download_values(host_memory(), dprobs_NE));
  }

  std::vector<std::vector<double>> forwards, xs, dys, dprobs;
};

Recorder record(const char* recompute) {
  Model model(tiny_config({{"train", {{"recompute", recompute}}}, {"router", {{"type", "dense"}}}}));
  Recorder recorder;
  Pass pass = model.pass(PassKind::train);
  pass.observer = &recorder;
  model.load_batch(0);
  model.gpt().forward(pass, model.activations());
  model.gpt().loss_and_backward(pass, model.activations(), 1.0);
  if (recompute != std::string("none")) return recorder;
  for (size_t l = 0; l < 2; ++l) {
    const BlockSaved& block = model.activations().blocks[l];
    EXPECT_EQ(recorder.forwards.at(l), download_values(host_memory(), block.moe.rows_RC)) << "first to last";
    EXPECT_EQ(recorder.xs.at(1 - l), download_values(host_memory(), block.normed2_NC)) << "last to first";
  }
  return recorder;
}

TEST(MoeObserver, SeesEachLayerOnceInTheOrderOfThePass) {
  const Recorder recorder = record("none");
  EXPECT_EQ(recorder.forwards.size(), 2u);
  EXPECT_EQ(recorder.dprobs.size(), 2u);
  EXPECT_NE(recorder.dprobs[0], recorder.dprobs[1]);
  EXPECT_NE(recorder.dys[0], recorder.dys[1]);
}

TEST(MoeObserver, SeesTheSameWithRecomputation) {
  const Recorder kept = record("none"), recomputed = record("block");
  EXPECT_EQ(kept.forwards, recomputed.forwards);
  EXPECT_EQ(kept.xs, recomputed.xs);
  EXPECT_EQ(kept.dys, recomputed.dys);
  EXPECT_EQ(kept.dprobs, recomputed.dprobs);
}

}  // namespace
}  // namespace gptmoe::testing
