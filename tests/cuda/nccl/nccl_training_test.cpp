// Whole runs on one GPU per rank, with as many ranks as this program was started with. They must match the curve of a
// single GPU, and give the same bits with and without CUDA graphs.
#include <omp.h>

#include <cmath>

#include "cuda/device.h"
#include "cuda/rank_world.h"
#include "support/run_fixture.h"
#ifdef GPTMOE_SIMT
#include "simt/nccl/nccl_stand_in.h"
#endif

namespace gptmoe::testing {
namespace {

using nlohmann::json;

struct Variant {
  std::string name;
  json changes;
  double tolerance;  // of losses, compared with a single GPU
};
std::ostream& operator<<(std::ostream& out, const Variant& variant) { return out << variant.name; }

// 6 steps of three micro-batches, with a checkpoint after step 4. The first micro-batch of a step gathers weights, the
// last one reduces gradients; with ZeRO stage 2, each one does.
class NcclTraining : public ::testing::TestWithParam<Variant> {
 protected:
  NcclTraining() { omp_set_num_threads(1); }
  // Waits for all ranks before rank 0 removes its folder.
  ~NcclTraining() override { world_.barrier(); }

  // The config for `ranks` ranks; whatever their number, together they process the same batches.
  Config config(int ranks, const json& changes = json::object()) const {
    json run = {{"device", "cuda"},
                {"data", {{"train", shared_ / "train_*.bin"}, {"val", shared_ / "val_*.bin"}}},
                {"train",
                 {{"steps", 6}, {"global_batch_size", 3 * world_.size()}, {"micro_batch_size", world_.size() / ranks}}},
                {"model", {{"initializer_range", 0.1}}}};
    run.merge_patch(GetParam().changes);
    run.merge_patch(changes);
    return files_.config(run);
  }
  void train_on_all(const Config& config, const std::string& name, bool resume = false) {
    train_quietly(config, shared_ / name, world_, resume);
    world_.barrier();
  }

  GuardedDeviceMemory guard_;
  World& world_ = rank_world();
  RunFolder files_;
  const fs::path shared_ = world_.from_root((files_ / "").string());
};

TEST_P(NcclTraining, GivesTheCurveOfOneGpu) {
  train_on_all(config(world_.size()), "all");
  if (!world_.is_root()) return;
  train_quietly(config(1), files_ / "one");
  const std::vector<json> got = metrics_of(files_ / "all"), expected = metrics_of(files_ / "one");
  ASSERT_EQ(events_of(files_ / "all"), events_of(files_ / "one"));
  for (size_t i = 0; i < expected.size(); ++i)
    for (const char* key : {"loss", "val_loss", "load_balance_loss"}) {
      if (!expected[i].contains(key)) continue;
      EXPECT_NEAR(got[i][key].get<double>(), expected[i][key].get<double>(), GetParam().tolerance) << i << " " << key;
    }
}

TEST_P(NcclTraining, IsTheSameRunWithoutGraphsAndAfterAResume) {
  train_on_all(config(world_.size()), "whole");
  train_on_all(config(world_.size(), {{"train", {{"cuda_graphs", false}}}}), "plain");
  if (world_.is_root()) {
    copy_folder(files_ / "whole", files_ / "cut");
    cut_back(files_ / "cut", 4);
  }
  world_.barrier();
  train_on_all(config(world_.size()), "cut", true);
  if (!world_.is_root()) return;
  expect_same_run(files_ / "whole", files_ / "plain");
  expect_same_run(files_ / "whole", files_ / "cut");
}

std::vector<Variant> variants() {
  std::vector<Variant> all;
  const auto add = [&](const std::string& name, double tolerance, json changes) {
    all.push_back({name, std::move(changes), tolerance});
  };
  add("topk_f32", 1e-4, {{"precision", "f32"}});
  add("topk_f32_zero", 1e-4, {{"precision", "f32"}, {"distributed", {{"zero_stage", 1}}}});
  add("topk_f32_zero_2", 1e-4, {{"precision", "f32"}, {"distributed", {{"zero_stage", 2}}}});
  add("default_bf16", 2e-2, {{"router", {{"type", "default"}}}});
  add("default_bf16_zero", 2e-2,
      {{"router", {{"type", "default"}, {"ema_update", "step"}}},
       {"train", {{"recompute", "block"}}},
       {"distributed", {{"zero_stage", 1}, {"reduce_dtype", "bf16"}}}});
  add("default_bf16_wire", 2e-2, {{"router", {{"type", "default"}}}, {"distributed", {{"reduce_dtype", "bf16"}}}});
  return all;
}
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(NcclTraining);
INSTANTIATE_TEST_SUITE_P(Ranks, NcclTraining,
                         ::testing::ValuesIn(launched_with_ranks() ? variants() : std::vector<Variant>()),
                         [](const auto& info) { return info.param.name; });

#ifdef GPTMOE_SIMT
// The bytes that a rank has sent, computed from the recorded NCCL calls.
int64_t bytes_sent(int ranks) {
  int64_t sent = 0;
  for (const simt::NcclCall& call : simt::nccl_calls) {
    const int64_t bytes = static_cast<int64_t>(call.count) * (call.type == ncclBfloat16 ? 2 : 4);
    sent += call.name == "ncclAllReduce" ? all_reduce_bytes(bytes, ranks) : bytes * (ranks - 1);
  }
  return sent;
}

TEST_P(NcclTraining, SendsAsManyBytesPerStepAsTheMetricsSay) {
  std::vector<int64_t> sent;
  for (const int64_t steps : {3, 5}) {
    simt::nccl_calls.clear();
    train_on_all(
        config(world_.size(), {{"train", {{"steps", steps}, {"eval_every", 0}}}, {"checkpoint", {{"every", 0}}}}),
        std::to_string(steps));
    sent.push_back(bytes_sent(world_.size()));
  }
  if (!world_.is_root()) return;
  std::ifstream metrics(files_ / "5" / "metrics.jsonl");
  std::string first;
  std::getline(metrics, first);
  const json communication = json::parse(first).at("communication");
  int64_t planned = 0;
  for (const json& cost : communication) planned += cost.at("bytes").get<int64_t>();
  EXPECT_GT(planned, 0);
  EXPECT_EQ(sent[1] - sent[0], 2 * planned);
}
#endif

}  // namespace
}  // namespace gptmoe::testing
