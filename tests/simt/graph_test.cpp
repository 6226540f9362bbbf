// Training steps recorded as CUDA graphs: their results, and what a step must not do.
#include <omp.h>

#include "engine/default_norms.h"
#include "simt/device_memory.h"
#include "simt/launch.h"
#include "simt/stream.h"
#include "support/router_cases.h"
#include "support/run_fixture.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class Graphs : public ::testing::TestWithParam<RouterCase> {
 protected:
  Graphs() {
    omp_set_num_threads(1);
    simt::guard_device_memory(true);
    simt::unload_kernels();  // which a graph cannot load
  }
  ~Graphs() override { simt::guard_device_memory(false); }

  static Config config() {
    nlohmann::json changes = GetParam().changes();
    changes["train"] = {{"global_batch_size", 4}};
    return tiny_config(changes);
  }
};

TEST_P(Graphs, ReplayBitForBitWhatTheyRecorded) {
  Model with(config(), make_cuda_ops(DType::bf16, {.graphs = true})),
      without(config(), make_cuda_ops(DType::bf16, {.graphs = false}));
  const simt::Traffic before = simt::traffic;
  for (int64_t s = 0; s < 3; ++s) {
    const StepResult a = with.step(s), b = without.step(s);
    EXPECT_EQ(a.loss, b.loss) << s;
    EXPECT_EQ(a.grad_norm, b.grad_norm) << s;
    EXPECT_EQ(a.load_balance_loss, b.load_balance_loss) << s;
  }
  EXPECT_EQ(with.parameter_bytes(), without.parameter_bytes());
  // The first step runs without graphs, except for its second micro-batch.
  EXPECT_EQ(simt::traffic.graph_launches - before.graph_launches, 1 + 2 * 5);
}

TEST_P(Graphs, AStepReadsBackOnlyWhatItReportsAndAllocatesNothing) {
  Model model(config(), make_cuda_ops(DType::bf16));
  const auto reports = 1 + std::ssize(default_vectors(model.gpt().state()));  // the sums, and each layer's vectors
  const NextBatch batches = [](const Tensor& tokens, const Tensor& targets) { random_batch(tokens, targets, 29, 1); };
  for (int64_t s = 0; s < 3; ++s) {
    const simt::Traffic before = simt::traffic;
    model.steps->ask(batches, s);
    EXPECT_EQ(simt::traffic.downloads - before.downloads, reports) << s;
    EXPECT_EQ(simt::traffic.uploads - before.uploads, 1 + 2 * 2) << "AdamW's rates, and two micro-batches";
    EXPECT_EQ(simt::traffic.allocations, before.allocations) << s;
    if (s > 0) model.steps->report();
  }
}

// A step that computes NaNs leaves the parameters unchanged, and so do the steps queued before its report is read.
TEST_P(Graphs, NoParameterMovesAfterAStepThatFailed) {
  Model model(config(), make_cuda_ops(DType::bf16));
  model.step(0);
  const ParamTable& params = model.gpt().params();
  const ParamRow& last = params.rows().back();
  const Tensor weight = params.row_view(params.values(), last);
  std::vector<float> weights(static_cast<size_t>(last.count), std::numeric_limits<float>::quiet_NaN());
  const std::vector<double> good = download_values(model.ops->memory(), weight);
  upload_floats(model.ops->memory(), weight, weights.data());
  const NextBatch batches = [](const Tensor& tokens, const Tensor& targets) { random_batch(tokens, targets, 29, 1); };
  model.steps->ask(batches, 1);
  upload_values(model.ops->memory(), weight, good.data());
  const std::vector<char> before = model.parameter_bytes();
  model.steps->ask(batches, 2);
  EXPECT_FALSE(model.steps->report().finite());
  model.steps->report();
  EXPECT_EQ(model.parameter_bytes(), before);
}

INSTANTIATE_TEST_SUITE_P(Simt, Graphs, ::testing::ValuesIn(one_case_per_router()), router_case_name);

// The work is only recorded: running it would touch all of the memory.
TEST(GraphWork, ZeroesMoreThan4GiB) {
  const auto ops = make_cuda_ops(DType::f32);
  const auto work = ops->make_repeated_work();
  constexpr int64_t kBytes = (int64_t{1} << 32) + 8;
  void* const memory = simt::allocate_device(kBytes);
  work->run([] {});
  EXPECT_EQ(message<Failure>([&] {
              work->run([&] {
                ops->zero(Tensor(memory, DType::f32, {kBytes / 4}));
                throw Failure("recorded");
              });
            }),
            "recorded");
  simt::release_device(memory);
}

TEST(GraphRun, GivesTheSameRunWithAndWithoutGraphs) {
  omp_set_num_threads(1);
  RunFolder files;
  const auto config = [&](bool graphs) {
    return files.config({{"device", "cuda"}, {"train", {{"cuda_graphs", graphs}}}});
  };
  const int before = simt::traffic.graph_launches;
  train_quietly(config(false), files / "without");
  EXPECT_EQ(simt::traffic.graph_launches, before);
  train_quietly(config(true), files / "with");
  EXPECT_EQ(simt::traffic.graph_launches, before + 4 * 11) << "four for every step but the first";
  expect_same_run(files / "with", files / "without");
}

TEST(GraphRun, NamesTheStepThatDivergedAlthoughTheHostIsOneAhead) {
  omp_set_num_threads(1);
  RunFolder files;
  const Config config = files.config({{"device", "cuda"},
                                      {"precision", "f32"},
                                      {"optimizer", {{"learning_rate", 1e30}}},
                                      {"schedule", {{"warmup_steps", 0}}},
                                      {"checkpoint", {{"every", 0}}}});
  const std::string line = error_line<Failure>([&] { train_quietly(config, files / "run"); });
  expect_contains(line, "step 2, micro-batch 1");
  expect_contains(line, "first offending tensor: ");
  EXPECT_EQ(events_of(files / "run"), (std::vector<std::string>{"train 1", "diverged 2"}));
}

}  // namespace
}  // namespace gptmoe::testing
