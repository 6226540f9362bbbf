// A run that was interrupted at any point and then resumed equals an uninterrupted one.
#include <omp.h>

#include "support/router_cases.h"
#include "support/run_fixture.h"
#include "support/sanitized.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

struct Variant {
  std::string name;
  json changes;
  int threads = 1;
};

void PrintTo(const Variant& variant, std::ostream* out) { *out << variant.name; }

class Resume : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override { omp_set_num_threads(GetParam().threads); }
  void TearDown() override { omp_set_num_threads(1); }
  RunFolder folder_;
};

TEST_P(Resume, FromEveryCheckpointEqualsAnUninterruptedRun) {
  if (kSanitized && GetParam().threads > 1) GTEST_SKIP() << "runs the same code as the case on one thread";
  const Config config = folder_.config(GetParam().changes);
  ASSERT_EQ(train_quietly(config, folder_ / "whole"), 0);
  for (int64_t step : {4, 8}) {
    SCOPED_TRACE(step);
    const fs::path cut = folder_ / ("cut_" + std::to_string(step));
    copy_folder(folder_ / "whole", cut);
    cut_back(cut, step);
    EXPECT_EQ(train_quietly(config, cut, true), 0);
    expect_same_run(folder_ / "whole", cut);
  }
}

// Every trial of every router, with accumulation and recomputation.
std::vector<Variant> routers_on(int threads) {
  std::vector<Variant> variants;
  for (const RouterCase& router : router_cases()) {
    json changes = router.changes();
    changes["train"] = {{"global_batch_size", 4}, {"recompute", "block"}};
    variants.push_back({router.name, changes, threads});
  }
  return variants;
}

std::string variant_name(const ::testing::TestParamInfo<Variant>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Routers, Resume, ::testing::ValuesIn(routers_on(1)), variant_name);
INSTANTIATE_TEST_SUITE_P(RoutersOnTwoThreads, Resume, ::testing::ValuesIn(routers_on(2)), variant_name);
INSTANTIATE_TEST_SUITE_P(
    Switches, Resume,
    ::testing::Values(
        Variant{"plain", {}},
        Variant{"balance_over_step", {{"model", {{"balance_scope", "step"}}}, {"train", {{"global_batch_size", 4}}}}},
        Variant{"accumulation",
                {{"train", {{"global_batch_size", 4}}},
                 {"model", {{"first_k_dense_replace", 1}, {"attention_bias", true}}}}},
        Variant{"muon",
                {{"optimizer",
                  {{"type", "muon"},
                   {"groups", {{{"match", "*.mlp.gate.weight"}, {"type", "muon"}, {"weight_decay", 0}}}}}},
                 {"train", {{"global_batch_size", 4}}}}},
        Variant{"document_mask",
                {{"data", {{"document_mask", true}, {"end_of_text", 5}}},
                 {"train", {{"global_batch_size", 4}, {"recompute", "block"}}}}},
        Variant{"log_every_third", {{"log", {{"every", 3}}}, {"train", {{"eval_every", 4}}}}},
        Variant{"log_every_third_of_accumulated",
                {{"router", {{"type", "default"}, {"ema_update", "step"}}},
                 {"train", {{"global_batch_size", 4}}},
                 {"log", {{"every", 3}}}}}),
    variant_name);

class Crash : public ::testing::Test {
 protected:
  void SetUp() override {
    omp_set_num_threads(1);
    train_quietly(config_, folder_ / "whole");
    copy_folder(folder_ / "whole", crashed_);
  }
  void resume_and_compare() {
    EXPECT_EQ(train_quietly(config_, crashed_, true), 0);
    expect_same_run(folder_ / "whole", crashed_);
  }

  RunFolder folder_;
  Config config_ = folder_.config({{"router", {{"type", "default"}}}});
  const fs::path crashed_ = folder_ / "crashed";
};

TEST_F(Crash, RowsComeInOrderAndOnce) {
  EXPECT_EQ(
      events_of(folder_ / "whole"),
      (std::vector<std::string>{"train 1", "train 2", "train 3", "train 4", "train 5", "eval 5", "train 6", "train 7",
                                "train 8", "train 9", "train 10", "eval 10", "train 11", "train 12", "eval 12"}));
}

TEST_F(Crash, WithinARow) {
  cut_back(crashed_, 8);
  append_text(crashed_ / "metrics.jsonl", R"({"event":"train","step":13,"tok)");
  resume_and_compare();
}

TEST_F(Crash, WithinACheckpoint) {
  cut_back(crashed_, 8);
  fs::create_directories(crashed_ / "checkpoints/step_00000012.tmp");
  append_text(crashed_ / "checkpoints/step_00000012.tmp/model.safetensors", "half");
  append_text(crashed_ / "checkpoints/LATEST.tmp", "step_");
  resume_and_compare();
  EXPECT_FALSE(fs::exists(crashed_ / "checkpoints/step_00000012.tmp"));
}

TEST_F(Crash, BetweenTheCheckpointAndItsName) {
  append_text(crashed_ / "metrics.jsonl", "");
  // Steps 8 and 12 are complete, but LATEST does not name them.
  write_text_file(crashed_ / "checkpoints/LATEST", "step_00000004\n");
  resume_and_compare();
}

TEST_F(Crash, BetweenTheLastCheckpointAndItsEvaluation) {
  std::string rows = read_text_file(crashed_ / "metrics.jsonl");
  rows.resize(rows.rfind('\n', rows.size() - 2) + 1);
  write_text_file(crashed_ / "metrics.jsonl", rows);
  ASSERT_EQ(events_of(crashed_).back(), "train 12");
  resume_and_compare();
}

TEST_F(Crash, BeforeTheFirstCheckpoint) {
  fs::remove_all(crashed_ / "checkpoints");
  EXPECT_EQ(resume_with(config_, crashed_, {}, true), 0);
  expect_same_run(folder_ / "whole", crashed_);
}

TEST_F(Crash, BeforeTheFirstRow) {
  fs::remove_all(crashed_ / "checkpoints");
  fs::remove(crashed_ / "metrics.jsonl");
  resume_and_compare();
}

TEST_F(Crash, AFinishedRunStaysAsItIs) { resume_and_compare(); }

TEST_F(Crash, ACheckpointOffTheScheduleWorksToo) {
  // An interruption saves checkpoints at steps that are not multiples of checkpoint.every.
  Config every_step = config_;
  every_step.checkpoint.every = 1;
  const fs::path other = folder_ / "every_step";
  train_quietly(every_step, other);
  for (int64_t step : {5, 11}) {  // step 5 is saved before its evaluation
    fs::remove_all(crashed_);
    copy_folder(other, crashed_);
    cut_back(crashed_, step);
    resume_and_compare();
  }
}

}  // namespace
}  // namespace gptmoe::testing
