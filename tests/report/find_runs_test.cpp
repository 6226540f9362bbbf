#include "report/find_runs.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/file.h"
#include "report/made_runs.h"
#include "support/error_message.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

std::vector<Arm> arms_below(const fs::path& folder, std::vector<std::string>* skipped = nullptr) {
  return find_arms(
      folder, [](const fs::path& run) { return read_run(run); }, skipped);
}

class FindRuns : public ::testing::Test {
 protected:
  void make(const std::string& run, const std::string& router = "topk") {
    write_run(folder_ / run, train_line(1, 100, 10) + eval_line(1, 100, 2, 1),
              R"({"router": {"type": ")" + router + R"("}, "train": {"steps": 1}})");
  }
  std::vector<std::string> labels() {
    std::vector<std::string> labels;
    for (const Arm& arm : arms_below(folder_.path())) labels.push_back(arm.label + " x" + text(arm.runs.size()));
    return labels;
  }
  TemporaryFolder folder_;
};

TEST(NaturalOrder, TakesNumbersByValue) {
  EXPECT_TRUE(natural_less("seed_9", "seed_10"));
  EXPECT_FALSE(natural_less("seed_10", "seed_9"));
  EXPECT_TRUE(natural_less("a", "b"));
  EXPECT_TRUE(natural_less("a", "a1"));
  EXPECT_FALSE(natural_less("a1", "a1"));
  EXPECT_TRUE(natural_less("8c1_x", "32c1_a"));
}

TEST_F(FindRuns, SortsTheFolderOfAComparison) {
  for (const char* run : {"default/seed_10", "default/seed_2", "alike/seed_1"}) make(run, "default");
  for (const char* run : {"topk/seed_1", "topk/seed_2"}) make(run);
  make("topk/seed_1.gptmoe-tmp-4711-1");  // left by a kill during the removal of seed_1
  EXPECT_EQ(labels(), (std::vector<std::string>{"topk x2", "alike x1", "default x2"}));
  EXPECT_EQ(arms_below(folder_.path())[2].runs[0].dir, folder_ / "default/seed_2");
  EXPECT_EQ(find_runs_by_arm(folder_.path())[4], folder_ / "default/seed_10");
}

TEST_F(FindRuns, NamesThePointsOfASweep) {
  for (const char* point : {"learning_rate=16e-3,betas=[1,2]", "learning_rate=2e-3"}) {
    make(std::string("default/") + point + "/seed_1", "default");
    make(std::string("topk/") + point + "/seed_1");
  }
  EXPECT_EQ(labels(),
            (std::vector<std::string>{"topk learning_rate=2e-3 x1", "topk learning_rate=16e-3, betas=[1,2] x1",
                                      "default learning_rate=2e-3 x1", "default learning_rate=16e-3, betas=[1,2] x1"}));
  const Arm arm = arms_below(folder_.path())[1];
  EXPECT_EQ(arm.family, "topk");
  EXPECT_EQ(arm.settings, (std::vector<Setting>{{"learning_rate", "16e-3"}, {"betas", "[1,2]"}}));
}

TEST_F(FindRuns, ARunIsItsOwnArmAndIsNotLookedInto) {
  make("a");
  make("b/deep");
  make("a/inside");
  make("b/checkpoints/step_00000004");
  make(".hidden/run");
  fs::create_directory_symlink(folder_ / "b", folder_ / "link");
  fs::create_directory(folder_ / "empty");
  write_text_file(folder_ / "a.json", "{}");
  EXPECT_EQ(labels(), (std::vector<std::string>{"a x1", "b/deep x1"}));
  EXPECT_EQ(arms_below(folder_ / "a")[0].label, (folder_ / "a").string());
}

TEST_F(FindRuns, AnExportedModelIsNoRun) {
  const auto with_config = [&](const char* name, const char* config) {
    fs::create_directory(folder_ / name);
    write_text_file(folder_ / name / "config.json", config);
    return folder_ / name;
  };
  make("a");
  const fs::path exported = with_config("a_hf", R"({"model_type": "qwen2_moe", "vocab_size": 29})");
  const fs::path begun = with_config("begun", R"({"train": {"steps": 4}} // no rows yet)");
  const fs::path broken = with_config("broken", "{");
  const fs::path bare = with_config("metrics", "{}"), history = with_config("read", "{}");
  write_text_file(bare / "metrics.jsonl", "");
  write_text_file(history / "history.json", "{}");
  EXPECT_EQ(find_runs(folder_.path()), (std::vector<fs::path>{folder_ / "a", begun, broken, bare, history}));
  EXPECT_TRUE(message<UserError>([&] { arms_below(exported); }).starts_with(exported.string() + ": holds no run; "));
}

TEST_F(FindRuns, TheSeedsOfOneArm) {
  make("topk/seed_1");
  make("topk/seed_2");
  const std::vector<Arm> arms = arms_below(folder_ / "topk");
  ASSERT_EQ(arms.size(), 1u);
  EXPECT_EQ(arms[0].label, (folder_ / "topk").string());
  EXPECT_EQ(arms[0].runs.size(), 2u);
}

TEST_F(FindRuns, AFolderWithoutRunsIsNamed) {
  fs::create_directory(folder_ / "none");
  const std::string none = (folder_ / "none").string();
  EXPECT_TRUE(message<UserError>([&] { arms_below(none); }).starts_with(none + ": holds no run; "));
  EXPECT_TRUE(message<UserError>([&] { arms_below(none + "x"); }).starts_with(none + "x: no such run"));
  make("starting");
  fs::remove(folder_ / "starting/metrics.jsonl");
  EXPECT_EQ(find_runs(folder_.path()).size(), 1u);
  EXPECT_THROW(arms_below(folder_.path()), UserError) << "it has no rows yet";
}

TEST_F(FindRuns, AFolderThatCannotBeReadIsNotEmpty) {
  if (geteuid() == 0) GTEST_SKIP() << "root reads everything";
  make("closed/run");
  fs::permissions(folder_ / "closed", fs::perms::none);
  EXPECT_THROW(find_runs(folder_.path()), UserError);
  fs::permissions(folder_ / "closed", fs::perms::owner_all);
}

TEST_F(FindRuns, AConfigThatCannotBeLookedAtIsNotSkipped) {
  make("run");
  fs::create_directory(folder_ / "lost");
  for (const char* target : {"config.json", "nowhere"}) {  // a loop, and a link to nothing
    fs::create_symlink(target, folder_ / "lost/config.json");
    EXPECT_TRUE(message<UserError>([&] {
                  find_runs(folder_.path());
                }).starts_with((folder_ / "lost/config.json").string() + ": cannot access it: "));
    std::vector<std::string> skipped;
    EXPECT_EQ(find_runs(folder_.path(), &skipped), std::vector<fs::path>{folder_ / "run"}) << "the run beside it";
    EXPECT_EQ(arms_below(folder_.path(), &skipped).size(), 1u);
    ASSERT_EQ(skipped.size(), 2u);
    EXPECT_TRUE(skipped[0].starts_with((folder_ / "lost/config.json").string() + ": cannot access")) << skipped[0];
    EXPECT_THROW(find_runs(folder_ / "lost", &skipped), UserError) << "the unreadable folder itself";
    fs::create_directory(folder_ / "only");
    fs::rename(folder_ / "lost", folder_ / "only/lost");
    EXPECT_NE(message<UserError>([&] { arms_below(folder_ / "only", &skipped); }).find("cannot access"),
              std::string::npos);
    fs::rename(folder_ / "only/lost", folder_ / "lost");
    fs::remove(folder_ / "only");
    fs::remove(folder_ / "lost/config.json");
  }
}

}  // namespace
}  // namespace gptmoe
