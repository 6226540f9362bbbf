#include "predict/step_prediction.h"

#include "kernels/plan_ops.h"
#include "predict/gpu_times.h"
#include "support/error_message.h"
#include "support/rank_config.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class Predicted : public ::testing::Test {
 protected:
  StepPrediction predict(const Config& config, CallTimes&& times, const Network& network) const {
    return predict_step(config, ops_, times, network);
  }
  static Network links(int ranks, double bytes, double latency = 1e-15) {
    return {.ranks = ranks, .machines = 1, .link_bytes = bytes, .machine_bytes = bytes, .latency = latency};
  }
  static double products(const StepPrediction& step) {
    return step.compute[static_cast<size_t>(Part::product)] + step.compute[static_cast<size_t>(Part::attention)];
  }
  static double optimizer(const StepPrediction& step) { return step.compute[static_cast<size_t>(Part::optimizer)]; }

  const Ops ops_ = make_plan_ops(DType::bf16, DType::f32, 1 << 20, 0);
};

TEST_F(Predicted, AStepWaitsOnlyForSlowLinks) {
  const StepPrediction alone = predict(rank_config(), FlatTimes(1e12, 1e12), links(1, 1e30)),
                       free_links = predict(rank_config(), FlatTimes(1e12, 1e12), links(4, 1e30));
  EXPECT_NEAR(products(free_links), products(alone) / 4, 1e-12);
  EXPECT_NEAR(free_links.in_all(), products(free_links) + optimizer(free_links), 1e-11);
  EXPECT_NEAR(optimizer(free_links), optimizer(alone), 1e-15);

  // A link so slow that the computation does not matter.
  const StepPrediction slow = predict(rank_config(), FlatTimes(1e12, 1e12), links(4, 1e3));
  double seconds = 0;
  for (const TrafficCost& cost : slow.communication) seconds += static_cast<double>(cost.bytes) / 1e3;
  EXPECT_NEAR(slow.in_all() / seconds, 1, 1e-3);
  EXPECT_GT(slow.in_all(), seconds - 1e-9);

  // Communication that starts early is hidden behind computation.
  const StepPrediction usual = predict(rank_config(), FlatTimes(1e9, 1e12), links(4, 1e9));
  const auto gradients = usual.communication[static_cast<size_t>(Traffic::gradients)];
  EXPECT_LT(gradients.seconds, 0.5 * static_cast<double>(gradients.bytes) / 1e9);
  EXPECT_GT(gradients.seconds, 0) << "the embedding's gradients come last";
}

TEST_F(Predicted, ARankOfAShardedOptimizerUpdatesItsPart) {
  const double whole = optimizer(predict(rank_config(), FlatTimes(1e12, 1e9), links(4, 1e12)));
  const double part =
      optimizer(predict(rank_config({{"distributed", {{"zero_stage", 1}}}}), FlatTimes(1e12, 1e9), links(4, 1e12)));
  EXPECT_NEAR(part / whole, 0.25, 0.01);
}

// One GPU, eight micro-batches.
TEST_F(Predicted, TheTableOfOpsAddsUpToTheStep) {
  const Config run = rank_config();
  GpuTimes times(known_gpus().front(), 1);
  const StepPrediction step = predict_step(run, ops_, times, {});
  EXPECT_EQ(step.micro_batches, 8);
  double seconds = 0, flops = 0;
  std::array<double, kParts> parts{};
  for (const auto& [key, op] : times.ops()) {
    double kernels = op.gaps;
    for (const KernelEstimate& kernel : op.kernels) kernels += kernel.seconds;
    EXPECT_NEAR(kernels, op.seconds, 1e-12) << key.first;
    EXPECT_LT(op.floor, op.seconds) << key.first;
    seconds += op.seconds;
    flops += op.flops;
    parts[static_cast<size_t>(op.part)] += op.seconds;
  }
  for (size_t part = 0; part < kParts; ++part) EXPECT_NEAR(parts[part], step.compute[part], 1e-12) << part;
  EXPECT_NEAR(seconds, step.in_all(), 1e-12);
  EXPECT_EQ(step.waiting() + step.slowed, 0);
  // The FLOPs are those that the engine counts. A step has the calls of its micro-batches and of its update.
  const Engine engine(run, Purpose::train, 4, 64, ops_);
  const double per_token = engine.forward_flops_per_token() + engine.backward_flops_per_token();
  EXPECT_NEAR(flops / (32 * 64 * per_token), 1, 1e-9);
  double attention = 0, clip = 0;
  for (const auto& [key, op] : times.ops()) {
    if (key.first == "attention_backward") attention += op.calls;
    if (key.first == "clip_scale") clip += op.calls;
  }
  EXPECT_EQ(attention, 8 * 4);
  EXPECT_EQ(clip, 1);
  EXPECT_GT(8 * step.micro_batch, 0.5 * step.in_all());
  EXPECT_LT(8 * step.micro_batch, step.in_all());
}

TEST_F(Predicted, CollectivesAreThoseThatTheProgramStarts) {
  const Config zero =
      rank_config({{"distributed", {{"zero_stage", 1}}}, {"router", {{"type", "default"}, {"ema_update", "forward"}}}});
  GpuTimes times(known_gpus().front(), 1);
  const StepPrediction step = predict_step(zero, ops_, times, links(4, 370e9, 0));
  std::array<int64_t, kTrafficNames.size()> calls{};
  for (const auto& [key, total] : step.collectives) calls[static_cast<size_t>(key.first)] += total.calls;
  for (size_t i = 0; i < calls.size(); ++i) EXPECT_EQ(calls[i], step.communication[i].calls) << kTrafficNames[i];
  const auto total = [&](Traffic traffic, Collective collective) { return step.collectives.at({traffic, collective}); };
  // Two micro-batches of three MoE layers.
  EXPECT_EQ(total(Traffic::default_vectors, Collective::all_reduce).calls, 2 * 3);
  EXPECT_EQ(total(Traffic::default_vectors, Collective::all_reduce).bytes, 2 * 3 * 4.0 * (8 * 64 + 8));
  EXPECT_EQ(total(Traffic::balance, Collective::all_reduce).bytes, 2 * 3 * 4.0 * 8);
  // A bucket for the embedding, each layer, and the head.
  EXPECT_EQ(total(Traffic::weights, Collective::all_gather).calls, 6);
  EXPECT_EQ(total(Traffic::gradients, Collective::reduce_scatter).calls, 6);
  EXPECT_EQ(total(Traffic::gradients, Collective::reduce_scatter).bytes,
            2 * total(Traffic::weights, Collective::all_gather).bytes)
      << "f32 gradients, bf16 weights";
  EXPECT_GT(step.slowed, 0) << "collectives take multiprocessors";
}

TEST_F(Predicted, MoreMachinesWaitLonger) {
  const auto waiting = [&](int machines) {
    Network network = links(8, 370e9, 0);
    network.machines = machines;
    return predict(rank_config(), GpuTimes(known_gpus().front(), 1), network).waiting();
  };
  EXPECT_GT(waiting(4), waiting(2));
  EXPECT_GT(waiting(2), waiting(1));
}

TEST(Gpus, AreFoundByNameAndByDescription) {
  EXPECT_EQ(gpu_named("a100").title, std::string("A100"));
  EXPECT_EQ(gpu_described("NVIDIA H200, bf16"), &gpu_named("h200"));
  EXPECT_EQ(gpu_described("NVIDIA H100 80GB HBM3, bf16"), &gpu_named("h100"));
  for (const char* other : {"NVIDIA H100 PCIe, bf16", "NVIDIA GH200 480GB, bf16", "NVIDIA A100-SXM4-40GB, bf16",
                            "NVIDIA A100-PCIE-40GB, bf16", "NVIDIA A100-PCIE-80GB, f32",
                            "NVIDIA H200 MIG 1g.18gb, bf16", "NVIDIA GeForce RTX 4090, bf16"})
    EXPECT_EQ(gpu_described(other), nullptr) << other;
  EXPECT_EQ(gpu_described("NVIDIA A100-SXM4-80GB, f32"), &gpu_named("a100"));
  EXPECT_EQ(gpu_described("CPU, 2 threads, built-in products"), nullptr);
  EXPECT_EQ(message<UserError>([] { gpu_named("b200"); }),
            "--gpu: \"b200\" is not known; choose one of h200, h100, a100");
}

}  // namespace
}  // namespace gptmoe::testing
