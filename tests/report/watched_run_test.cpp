#include "report/watched_run.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <optional>

#include "base/file.h"
#include "base/lock.h"
#include "report/made_runs.h"
#include "report/watch_table.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

class Watched : public ::testing::Test {
 protected:
  Watched() { write_run(dir_, train_line(1, 100, 10) + train_line(2, 200, 10)); }

  void append(const std::string& rows) { std::ofstream(dir_ / "metrics.jsonl", std::ios::app) << rows; }
  const WatchedRun& look() {
    run_.look([this](const fs::path&) { return saved_; });
    return run_;
  }

  TemporaryFolder folder_;
  const fs::path dir_ = folder_ / "run";
  WatchedRun run_{dir_};
  int64_t saved_ = -1;
};

TEST_F(Watched, ReadsWhatIsNew) {
  EXPECT_EQ(look().step(), 2);
  EXPECT_EQ(run_.steps(), 4);
  EXPECT_EQ(run_.loss(), 3.5);
  EXPECT_TRUE(std::isnan(run_.perplexity()));
  append(train_line(3, 300, 20) + R"({"event":"eval","step":3,"tok)");
  EXPECT_EQ(look().step(), 3);
  EXPECT_DOUBLE_EQ(run_.seconds_left(), 100 / 20.0);
  append(R"(ens":300,"val_loss":0,"seconds":1,"expert_load":[[0.01,0.99],[0.5,0.5]],"time":1000.5})"
         "\n");
  look();
  EXPECT_EQ(run_.perplexity(), 1);
  EXPECT_EQ(run_.dead_experts(), 1);
  EXPECT_EQ(run_.experts(), 4);
  EXPECT_EQ(run_.last_written(), 1000.5);
  EXPECT_EQ(run_.problem(), "");
  // Rows that were read before are not read again: all but the last one may even have changed on the disk.
  std::string rows = read_text_file(dir_ / "metrics.jsonl");
  rows[0] = '?';
  std::ofstream(dir_ / "metrics.jsonl") << rows << train_line(4, 400, 20);
  EXPECT_EQ(look().step(), 4);
  EXPECT_EQ(run_.problem(), "");
}

TEST_F(Watched, ARunThatWentBackIsReadAnew) {
  append(train_line(3, 300, 20));
  EXPECT_EQ(look().losses().means(9).size(), 3u);
  fs::resize_file(dir_ / "metrics.jsonl", train_line(1, 100, 10).size());
  EXPECT_EQ(look().step(), 1);
  append(train_line(2, 200, 30) + train_line(3, 300, 30) + train_line(4, 400, 30));  // longer than it was
  EXPECT_EQ(look().step(), 4);
  EXPECT_EQ(run_.losses().means(9).size(), 4u);
  fs::resize_file(dir_ / "metrics.jsonl", train_line(1, 100, 10).size());
  append(train_line(2, 200, 70) + train_line(3, 300, 70) + train_line(4, 400, 70) + train_line(5, 500, 70));
  EXPECT_EQ(look().step(), 5);
  EXPECT_EQ(run_.losses().means(9).size(), 5u) << "truncated, then longer than before, between two looks";
}

TEST_F(Watched, KnowsWhetherTheRunIsTrained) {
  EXPECT_EQ(look().state(), RunState::stopped);
  std::optional<FolderLock> lock;
  lock.emplace(dir_, "taken");
  EXPECT_EQ(look().state(), RunState::training);
  lock.reset();
  saved_ = 1;
  EXPECT_EQ(look().state(), RunState::stopped);
  saved_ = 2;
  EXPECT_EQ(look().state(), RunState::interrupted);
  append(train_line(3, 300, 20) + train_line(4, 400, 20));
  EXPECT_EQ(look().state(), RunState::finished);
  append(R"({"event":"diverged","step":5,"tokens":400,"seconds":1,"time":60})"
         "\n");
  EXPECT_EQ(look().state(), RunState::failed);
}

// The last step saved has no row if log.every is above 1.
TEST_F(Watched, IsInterruptedIfItSavedAfterItsLastRow) {
  saved_ = 3;
  EXPECT_EQ(look().state(), RunState::interrupted);
  EXPECT_EQ(run_.step(), 3);
  fs::remove(dir_ / "metrics.jsonl");
  EXPECT_EQ(look().state(), RunState::interrupted) << "it was stopped before its first row";
  EXPECT_EQ(run_.step(), 3);
  const FolderLock lock(dir_, "taken");
  EXPECT_EQ(look().step(), 0) << "it may train again from an earlier step";
}

TEST_F(Watched, IsFinishedOnceItsLastStepIsEvaluated) {
  for (const char* val : {R"("v.bin")", R"({"wiki": "w.bin", "books": "b.bin"})", R"([{"path": "v.bin"}])"}) {
    fs::remove(dir_ / "metrics.jsonl");
    write_run(dir_, train_line(4, 400, 10), R"({"train": {"steps": 4}, "data": {"val": )" + std::string(val) + "}}");
    run_ = WatchedRun(dir_);
    EXPECT_EQ(look().state(), RunState::stopped) << val;
    append(eval_line(4, 400, 1, 1));
    EXPECT_EQ(look().state(), RunState::finished) << val;
  }
}

TEST_F(Watched, SaysWhatItCannotRead) {
  append("no row\n" + train_line(3, 300, 10));
  EXPECT_EQ(look().step(), 3) << "the rows before and after it count";
  EXPECT_TRUE(run_.problem().starts_with((dir_ / "metrics.jsonl").string() + ":3:")) << run_.problem();
  fs::remove(dir_ / "metrics.jsonl");
  EXPECT_EQ(look().step(), 0);
  EXPECT_EQ(run_.problem(), "") << "a run may have no rows yet";
  fs::create_directory(dir_ / "metrics.jsonl");
  EXPECT_NE(look().problem(), "");
  fs::remove_all(dir_);
  EXPECT_NE(look().problem(), "");
}

TEST(LongCurve, KeepsItsMeans) {
  LongCurve curve;
  for (int i = 0; i < 100000; ++i) curve.add(i < 50000 ? 1 : 3);
  const std::vector<double> means = curve.means(4);
  ASSERT_EQ(means.size(), 4u);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(means[i], i < 2 ? 1 : 3, 0.01);
  EXPECT_TRUE(LongCurve().means(4).empty());
}

TEST(Sparkline, ScalesToItsRange) {
  EXPECT_EQ(sparkline({}), "");
  EXPECT_EQ(sparkline({2, 2}), "▁▁");
  EXPECT_EQ(sparkline({8, 4, 0, 1}), "█▅▁▂");
}

TEST_F(Watched, TableHasALineForEachRun) {
  append(R"({"event":"eval","step":2,"tokens":200,"val_loss":0,"seconds":1,"expert_load":[[0.01,0.99]],"time":1000})"
         "\n");
  look();
  const std::string name(80, 'x');
  const std::vector<std::string> lines = watch_table({{"a", &run_}, {name + "end", &run_, "waiting"}}, 1000 + 130);
  ASSERT_EQ(lines.size(), 3u);
  for (const char* part : {"a  ", "stopped for 2 min", "2/4", "3.5000", "1.000", "1 of 2", "—", "▁▁"})
    EXPECT_NE(lines[1].find(part), std::string::npos) << part << " in " << lines[1];
  EXPECT_EQ(lines[1].find('\n'), std::string::npos);
  EXPECT_NE(lines[2].find("xend"), std::string::npos);
  EXPECT_NE(lines[2].find("waiting"), std::string::npos);
}

TEST(StateText, HasNoAgeWhereNothingIsThere) { EXPECT_EQ(state_text(WatchedRun("nowhere"), 1e9), "stopped"); }

}  // namespace
}  // namespace gptmoe
