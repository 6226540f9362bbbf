// What a run refuses, what it writes, and the order of its writes.
#include <omp.h>

#include "support/run_fixture.h"
#include "train/run_directory.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class Trainer : public ::testing::Test {
 protected:
  void SetUp() override { omp_set_num_threads(1); }

  template <typename Error>
  std::string refusal(const Config& config, bool resume = false) {
    return error_line<Error>([&] { train_quietly(config, out_, resume); });
  }
  std::vector<std::string> checkpoint_names() const {
    std::vector<std::string> names;
    for (const fs::path& path : list_checkpoints(out_)) names.push_back(path.filename());
    return names;
  }

  RunFolder folder_;
  const fs::path out_ = folder_ / "run";
};

TEST_F(Trainer, WritesARunDirectory) {
  const Config config = folder_.config();
  std::string screen;
  EXPECT_EQ(train_quietly(config, out_, false, &screen), 0);
  EXPECT_EQ(to_json(run_config(out_)), to_json(config));
  EXPECT_EQ(checkpoint_names(), (std::vector<std::string>{"step_00000004", "step_00000008", "step_00000012"}));
  const CheckpointState state = read_checkpoint_state(*latest_checkpoint(out_));
  EXPECT_EQ(state.step, 12);
  EXPECT_EQ(state.tokens, 12 * 14);
  EXPECT_EQ(parse_config(state.config, "state"), config);
  EXPECT_EQ(state.loader.epoch, 1) << "24 windows, with 17 per epoch";
  EXPECT_EQ(state.loader.position, 7);
  EXPECT_EQ(state.loader.windows, 17);
  expect_contains(screen, "12 steps of 2 x 7 = 168 tokens (1.41 epochs)");
  expect_contains(screen, "step 12  validation loss ");
}

TEST_F(Trainer, RowsHoldWhatTheirStepMeasured) {
  const Config config = folder_.config({{"router", {{"type", "default"}}}});
  train_quietly(config, out_);
  const auto rows = metrics_of(out_);
  ASSERT_EQ(rows.size(), 15u);
  EXPECT_EQ(rows[0]["tokens"], 14);
  EXPECT_NEAR(rows[0]["loss"].get<double>(), std::log(29.0), 1.0);
  EXPECT_DOUBLE_EQ(rows[0]["lr"].get<double>(), 1e-2 / 3);
  EXPECT_DOUBLE_EQ(rows[2]["lr"].get<double>(), 1e-2);
  EXPECT_GT(rows[0]["grad_norm"].get<double>(), 0);
  EXPECT_GE(rows[0]["expert_load_max"].get<double>(), 0.2);
  EXPECT_LE(rows[0]["expert_load_min"].get<double>(), 0.2);
  EXPECT_GT(rows[0]["load_balance_loss"].get<double>(), 0.9);
  const std::vector<double> balance = rows[0]["load_balance_loss_by_layer"];
  ASSERT_EQ(balance.size(), 2u);
  EXPECT_NEAR((balance[0] + balance[1]) / 2, rows[0]["load_balance_loss"].get<double>(), 1e-9);
  const json& eval = rows[5];
  EXPECT_DOUBLE_EQ(eval["val_perplexity"].get<double>(), std::exp(eval["val_loss"].get<double>()));
  ASSERT_EQ(eval["expert_load"].size(), 2u);
  ASSERT_EQ(eval["load_balance_loss_by_layer"].size(), 2u);
  ASSERT_EQ(eval["fill_share"].size(), 2u);
  for (const double share : eval["fill_share"]) EXPECT_TRUE(share > 0 && share < 1) << share;
  double load = 0;
  for (double share : eval["expert_load"][1]) load += share;
  EXPECT_NEAR(load, 1, 1e-6);
  EXPECT_GT(eval["router_entropy"][0].get<double>(), 0);
  EXPECT_LE(eval["router_entropy"][0].get<double>(), std::log(5.0) + 1e-6);
}

TEST_F(Trainer, KeepsTheNewestCheckpoints) {
  train_quietly(folder_.config({{"checkpoint", {{"every", 2}, {"keep", 2}}}}), out_);
  EXPECT_EQ(checkpoint_names(), (std::vector<std::string>{"step_00000010", "step_00000012"}));
}

TEST_F(Trainer, SavesTheLastStepWhateverTheScheduleSays) {
  train_quietly(folder_.config({{"checkpoint", {{"every", 0}}}}), out_);
  EXPECT_EQ(checkpoint_names(), (std::vector<std::string>{"step_00000012"}));
}

TEST_F(Trainer, RunsWithoutValidation) {
  std::string screen;
  train_quietly(folder_.config({{"data", {{"val", ""}}}, {"log", {{"every", 5}}}}), out_, false, &screen);
  EXPECT_EQ(events_of(out_), (std::vector<std::string>{"train 5", "train 10", "train 12"}));
  expect_contains(screen, "no validation");
}

TEST_F(Trainer, SavesBeforeItEvaluates) {
  write_random_shard(folder_ / "val_0.bin", 5000, 80, 3);  // ids outside the vocabulary make the evaluation fail
  const std::string line = refusal<UserError>(folder_.config({{"train", {{"eval_every", 0}}}}));
  expect_contains(line, "val_0.bin");
  expect_contains(line, "vocab_size is 29");
  EXPECT_EQ(checkpoint_names().back(), "step_00000012");

  write_random_shard(folder_ / "repaired_0.bin", 29, 80, 3);  // only the evaluation is missing
  EXPECT_EQ(
      resume_with(folder_.config({{"train", {{"eval_every", 0}}}, {"data", {{"val", folder_ / "repaired_*.bin"}}}}),
                  out_, {"data.val"}),
      0);
  EXPECT_EQ(events_of(out_).back(), "eval 12");
}

// Four good steps, then steps at a rate that ruins the weights. With `rate` 3e38 an update is infinite. With 1e38 it is
// finite, and the next gradient is not. With 1e15 attention's scores overflow.
class Divergence : public Trainer {
 protected:
  Config at_rate(double rate, int64_t steps, const json& changes = json::object()) const {
    json run = {{"train", {{"steps", steps}, {"eval_every", 0}}},
                {"optimizer", {{"learning_rate", rate}}},
                {"schedule", {{"type", "constant"}, {"warmup_steps", 0}}},
                {"checkpoint", {{"every", 1}, {"keep", 1}}}};
    run.merge_patch(changes);
    return folder_.config(run);
  }
  std::string divergence(const Config& config) {
    return error_line<NumericFailure>([&] { resume_with(config, out_, {"train.steps", "optimizer.learning_rate"}); });
  }
  void SetUp() override {
    Trainer::SetUp();
    train_quietly(at_rate(1e-3, 4), out_);
    ASSERT_EQ(checkpoint_names(), std::vector<std::string>{"step_00000004"});
  }
};

TEST_F(Divergence, AStepThatIsNotFiniteIsNotSaved) {
  const std::string line = divergence(at_rate(3e38, 8));
  expect_contains(line, "tensor \"");
  expect_contains(line, "\" is not finite after step 5, which is not saved; start again with a lower optimizer.lear");
  EXPECT_EQ(checkpoint_names(), std::vector<std::string>{"step_00000004"});
  EXPECT_EQ(events_of(out_).back(), "diverged 6");
}

TEST_F(Divergence, TheLastGoodCheckpointStaysUntilTheNextHasProvedGood) {
  expect_contains(divergence(at_rate(1e38, 8)), "is not finite at step 6");
  EXPECT_EQ(checkpoint_names(), (std::vector<std::string>{"step_00000004", "step_00000005"}));
}

TEST_F(Divergence, ARunWhoseLastValidationIsNotFiniteFails) {
  expect_contains(divergence(at_rate(1e15, 5)), "the validation loss is not finite after step 5; start again with");
  EXPECT_EQ(checkpoint_names(), (std::vector<std::string>{"step_00000004", "step_00000005"}));
  EXPECT_EQ(events_of(out_).back(), "diverged 6");
}

TEST_F(Divergence, ARunWithoutValidationWhoseLastStepRuinsTheWeightsFails) {
  fs::remove_all(out_);
  const json unvalidated = {{"data", {{"val", ""}}}};
  train_quietly(at_rate(1e-3, 4, unvalidated), out_);
  expect_contains(divergence(at_rate(1e15, 5, unvalidated)), "the training loss is not finite after step 5");
  EXPECT_EQ(checkpoint_names(), (std::vector<std::string>{"step_00000004", "step_00000005"}));
}

TEST_F(Trainer, ADivergedRunNamesItsStepAndKeepsItsCheckpoints) {
  const Config config = folder_.config(
      {{"optimizer", {{"learning_rate", 1e30}}}, {"schedule", {{"warmup_steps", 0}}}, {"checkpoint", {{"every", 1}}}});
  const std::string line = refusal<NumericFailure>(config);
  expect_contains(line, "step 2, micro-batch 1");
  expect_contains(line, "first offending tensor: ");
  EXPECT_EQ(checkpoint_names(), std::vector<std::string>{"step_00000001"});
  EXPECT_EQ(events_of(out_), (std::vector<std::string>{"train 1", "diverged 2"}));

  Model model(config);
  const CheckpointState state = load_checkpoint(
      *latest_checkpoint(out_), {model.gpt().params(), model.gpt().state(), model.engine.optimizer().m().values(),
                                 model.engine.optimizer().v().values()});
  EXPECT_EQ(state.step, 1);
  EXPECT_EQ(refusal<Failure>(config, true), line) << "a resumed run computes the same numbers";
}

TEST_F(Trainer, RefusesTokensOutsideTheVocabulary) {
  std::vector<int32_t> ids(40, 3);
  ids[20] = 29;
  write_shard(folder_ / "large.bin", 30, ids);
  const std::string line = refusal<UserError>(folder_.config({{"data", {{"train", folder_ / "large.bin"}}}}));
  expect_contains(line, "large.bin: token 20 has id 29");
  expect_contains(line, "model.vocab_size");
}

TEST_F(Trainer, RefusesBadDataBeforeItMakesADirectory) {
  write_random_shard(folder_ / "short.bin", 29, 7, 1);
  for (const char* field : {"train", "val"}) {
    const std::string line = refusal<UserError>(folder_.config({{"data", {{field, folder_ / "short.bin"}}}}));
    expect_contains(line, "short.bin");
    expect_contains(line, "7 tokens, too few for sequence_length 7");
    EXPECT_FALSE(fs::exists(out_));
    expect_contains(refusal<UserError>(folder_.config({{"data", {{field, folder_ / "none_*.bin"}}}})),
                    "no file matches");
    EXPECT_FALSE(fs::exists(out_));
  }
  expect_contains(refusal<UserError>(folder_.config({{"router", {{"type", "topq"}}}})), "did you mean \"topk\"?");
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(Trainer, ANewRunNeverOverwritesAnother) {
  const Config config = folder_.config();
  train_quietly(config, out_);
  const std::string before = read_text_file(out_ / "metrics.jsonl");
  expect_contains(refusal<UserError>(config), "holds a run already; add --resume");
  EXPECT_EQ(read_text_file(out_ / "metrics.jsonl"), before);
}

TEST_F(Trainer, NothingToResumeIsAnError) {
  expect_contains(refusal<UserError>(folder_.config(), true), "nothing to resume");
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(Trainer, ResumesOnlyWithTheSameSettings) {
  train_quietly(folder_.config({{"router", {{"type", "default"}, {"ema_beta", 0.9}}}}), out_);
  const std::string before = read_text_file(out_ / "config.json");
  const auto changed = [&](json changes) {
    json all = {{"router", {{"type", "default"}, {"ema_beta", 0.9}}}};
    all.merge_patch(changes);
    return refusal<UserError>(folder_.config(all), true);
  };
  expect_contains(
      changed({{"optimizer", {{"learning_rate", 0.02}}}}),
      "the run has optimizer.learning_rate = 0.01, now it is 0.02; to change it for the rest of the run, add --set "
      "optimizer.learning_rate=0.02");
  expect_contains(changed({{"router", {{"ema_beta", 0.8}}}}), "router.ema_beta = 0.9, now it is 0.8");
  expect_contains(changed({{"router", {{"ema_clip", 2.0}}}}), "router.ema_clip");
  expect_contains(changed({{"router", {{"ema_beta", nullptr}}}}), "router.ema_beta");
  expect_contains(changed({{"seed", 2}}), "seed = 1, now it is 2");
  expect_contains(changed({{"train", {{"steps", 13}}}}), "train.steps = 12, now it is 13");
  EXPECT_EQ(read_text_file(out_ / "config.json"), before);
}

// Older runs averaged the balance losses of layers instead of summing them; their config.json has no
// model.balance_scope.
TEST_F(Trainer, RefusesARunWithAnAveragedBalanceLoss) {
  const auto age = [&] {
    json config = json::parse(read_text_file(out_ / "config.json"));
    config["model"].erase("balance_scope");
    write_text_file(out_ / "config.json", config.dump(2));
  };
  const json coefficient = {{"model", {{"router_aux_loss_coef", 0.02}}}};
  train_quietly(folder_.config(coefficient), out_);
  age();
  const std::string before = read_text_file(out_ / "config.json");
  expect_contains(refusal<UserError>(folder_.config(coefficient), true),
                  "model.router_aux_loss_coef was divided by the number of MoE layers, 2, and cannot be continued or "
                  "compared; model.router_aux_loss_coef = 0.01 gives a new run the same loss");
  EXPECT_EQ(read_text_file(out_ / "config.json"), before);
}

TEST_F(Trainer, ResumesWithOtherIntervalsAndDevice) {
  train_quietly(folder_.config(), out_);
  cut_back(out_, 8);
  const Config other = folder_.config({{"train", {{"eval_every", 3}, {"eval_tokens", 21}}},
                                       {"checkpoint", {{"every", 3}, {"keep", 1}}},
                                       {"log", {{"every", 2}}},
                                       {"device", "cpu"},
                                       {"data", {{"tokenizer", "tokenizer.json"}}}});
  EXPECT_EQ(train_quietly(other, out_, true), 0);
  EXPECT_EQ(to_json(run_config(out_)), to_json(other));
  EXPECT_EQ(checkpoint_names(), std::vector<std::string>{"step_00000012"});
  const auto events = events_of(out_);
  EXPECT_EQ(std::vector<std::string>(events.end() - 5, events.end()),
            (std::vector<std::string>{"train 8", "eval 9", "train 10", "train 12", "eval 12"}));
}

TEST_F(Trainer, RefusesOtherDataAtTheSamePath) {
  train_quietly(folder_.config(), out_);
  cut_back(out_, 8);
  write_random_shard(folder_ / "train_1.bin", 29, 500, 2);
  expect_contains(refusal<UserError>(folder_.config(), true),
                  "train_1.bin: has other tokens than when the run read it");
}

}  // namespace
}  // namespace gptmoe::testing
