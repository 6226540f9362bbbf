#include "report/run_log.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "base/check.h"
#include "report/made_runs.h"

namespace gptmoe {
namespace {

std::string error_of(const std::filesystem::path& dir) {
  try {
    read_run(dir);
  } catch (const UserError& error) {
    return error.what();
  }
  return "no error";
}

TEST(RunLog, ReadsEveryFieldOfAMoeRun) {
  TemporaryFolder folder;
  write_run(
      folder / "run",
      R"({"event":"train","step":3,"tokens":6144,"loss":2.5,"lr":0.001,"grad_norm":0.75,"tokens_per_second":1000,)"
      R"("mfu":0.4,"load_balance_loss":1.125,"expert_load_max":0.5,"expert_load_min":0.25,"seconds":6.5})"
      "\n"
      R"({"event":"eval","step":4,"tokens":8192,"val_loss":2.25,"val_perplexity":9.49,"seconds":8.5,)"
      R"("expert_load":[[0.5,0.5],[0.25,0.75]],"router_entropy":[0.5,0.625]})"
      "\n");
  const RunLog run = read_run(folder / "run");
  EXPECT_EQ(run.planned_steps, 4);
  EXPECT_TRUE(run.finished());
  ASSERT_EQ(run.train.size(), 1u);
  EXPECT_EQ(run.train[0].step, 3);
  EXPECT_EQ(run.train[0].tokens, 6144);
  EXPECT_EQ(run.train[0].loss, 2.5);
  EXPECT_EQ(run.train[0].lr, 0.001);
  EXPECT_EQ(run.train[0].grad_norm, 0.75);
  EXPECT_EQ(run.train[0].tokens_per_second, 1000);
  EXPECT_EQ(run.train[0].mfu, 0.4);
  EXPECT_EQ(run.train[0].load_balance_loss, 1.125);
  EXPECT_EQ(run.train[0].expert_load_max, 0.5);
  EXPECT_EQ(run.train[0].expert_load_min, 0.25);
  EXPECT_EQ(run.train[0].seconds, 6.5);
  ASSERT_EQ(run.evals.size(), 1u);
  EXPECT_EQ(run.evals[0].val_loss, 2.25);
  EXPECT_EQ(run.evals[0].expert_load, (std::vector<std::vector<double>>{{0.5, 0.5}, {0.25, 0.75}}));
  EXPECT_EQ(run.evals[0].router_entropy, (std::vector<double>{0.5, 0.625}));
}

TEST(RunLog, DenseModelsHaveNoLoadFields) {
  TemporaryFolder folder;
  write_run(folder / "run", train_line(1, 100, 50) + eval_line(1, 100, 3.0, 10));
  const RunLog run = read_run(folder / "run");
  EXPECT_FALSE(run.train[0].mfu.has_value());
  EXPECT_FALSE(run.train[0].load_balance_loss.has_value());
  EXPECT_TRUE(run.evals[0].expert_load.empty());
  EXPECT_TRUE(run.evals[0].router_entropy.empty());
  EXPECT_FALSE(run.finished());
  EXPECT_EQ(run.last_step(), 1);
}

TEST(RunLog, ALastLineCutShortIsIgnoredWhereverItWasCut) {
  TemporaryFolder folder;
  const std::string first = train_line(1, 100, 50), second = train_line(2, 200, 50);
  for (size_t kept = 0; kept < second.size(); ++kept) {
    write_run(folder / "run", first + second.substr(0, kept));
    ASSERT_EQ(read_run(folder / "run").train.size(), 1u) << kept;
  }
  write_run(folder / "run", "");
  EXPECT_EQ(read_run(folder / "run").last_step(), 0);
}

TEST(RunLog, AMalformedLineNamesFileAndLine) {
  TemporaryFolder folder;
  const std::string good = train_line(1, 100, 50), place = (folder / "run/metrics.jsonl").string() + ":2:";
  const auto expect = [&](const std::string& line, const std::string& why) {
    write_run(folder / "run", good + line + "\n" + train_line(3, 300, 50));
    EXPECT_EQ(error_of(folder / "run"), place + why + "; repair or remove the line");
  };
  expect(R"({"event":"train","step":2,)",
         "27: syntax error while parsing object key - unexpected end of input; expected string literal");
  expect("", "1: syntax error while parsing value - unexpected end of input; expected '[', '{', or a literal");
  expect("[1, 2]", " not a JSON object");
  expect("{}", " \"event\" is missing");
  expect(R"({"event":"trian","step":2})",
         " unknown event \"trian\"; known are \"train\", \"eval\", \"tasks\", \"diverged\" and \"thinned\"");
  expect(R"({"event":"thinned","step":0,"train_rows":5,"loss_spikes":-1})",
         " \"loss_spikes\" must be a whole number >= 0");
  expect(R"({"event":"eval","step":2,"tokens":200,"seconds":1})", " \"val_loss\" is missing");
  expect(R"({"event":"eval","step":2.5})", " \"step\" must be a whole number >= 0");
  expect(R"({"event":"eval","step":-1})", " \"step\" must be a whole number >= 0");
  expect(R"({"event":"eval","step":2,"tokens":200,"seconds":1,"val_loss":"3"})", " \"val_loss\" must hold numbers");
  expect(R"({"event":"eval","step":2,"tokens":200,"seconds":1,"val_loss":3,"expert_load":[1]})",
         " \"expert_load\" must be a list");
  expect(R"({"event":"eval","step":2,"tokens":200,"seconds":1,"val_loss":3,"expert_load":[[1,null]]})",
         " \"expert_load\" must hold finite shares");
  expect(R"({"event":"eval","step":2,"tokens":200,"seconds":1,"val_loss":3,"router_entropy":7})",
         " \"router_entropy\" must be a list");
  write_run(folder / "run", good + train_line(1, 200, 50));
  EXPECT_EQ(error_of(folder / "run"),
            place + " step 1 (200 tokens) follows step 1 (100 tokens); steps and tokens must advance");
}

TEST(RunLog, AShapeThatChangesIsAnError) {
  TemporaryFolder folder;
  const auto eval = [](int step, const std::string& load) {
    return text(R"({"event":"eval","step":)", step, R"(,"tokens":)", step,
                R"(,"val_loss":3,"seconds":1,"expert_load":)", load, "}\n");
  };
  write_run(folder / "run", eval(1, "[[0.5,0.5]]") + eval(2, "[[0.5,0.25,0.25]]"));
  EXPECT_NE(error_of(folder / "run").find(":2: layers or experts"), std::string::npos);
}

TEST(RunLog, ANullLossIsADivergedRun) {
  TemporaryFolder folder;
  write_run(folder / "run", R"({"event":"eval","step":4,"tokens":8,"val_loss":null,"val_perplexity":null,"seconds":1})"
                            "\n");
  EXPECT_TRUE(std::isnan(read_run(folder / "run").evals.at(0).val_loss));
}

TEST(RunLog, AThinnedRunKeepsTheCountsOfAllItsRows) {
  TemporaryFolder folder;
  const auto thinned = [&](const std::string& spikes) {
    write_run(folder / "run", R"({"event":"thinned","step":0,"train_rows":400,"loss_spikes":)" + spikes + "}\n" +
                                  train_line(100, 100, 50));
    return read_run(folder / "run").thinned;
  };
  EXPECT_EQ(thinned("3")->train_rows, 400);
  EXPECT_EQ(thinned("3")->loss_spikes, 3);
  EXPECT_FALSE(thinned("null")->loss_spikes.has_value());
}

TEST(RunLog, KnowsWhetherItTrainedAlongsideOthers) {
  TemporaryFolder folder;
  write_run(folder / "run", "");
  EXPECT_EQ(read_run(folder / "run").at_once, 1);
  std::ofstream(folder / "run/jobs.json") << R"({"at_once": 3})";
  EXPECT_EQ(read_run(folder / "run").at_once, 3);
  std::ofstream(folder / "run/jobs.json") << "3";
  EXPECT_NE(error_of(folder / "run").find("jobs.json: not {\"at_once\": runs}"), std::string::npos);
}

TEST(RunLog, KnowsTheBuildAndMachineThatTrainedIt) {
  TemporaryFolder folder;
  write_run(folder / "run", "");
  ASSERT_EQ(read_run(folder / "run").provenance.size(), 1u);
  EXPECT_EQ(read_run(folder / "run").provenance[0].machine["host"], "here");
  EXPECT_EQ(read_run(folder / "run").provenance[0].threads, 2);
  const std::filesystem::path path = folder / "run/provenance.json";
  for (const char* bad : {"3", R"({"history": 3})", R"({"history": [{"from_step": 0, "build": {}}]})"}) {
    std::ofstream(path) << bad;
    EXPECT_EQ(error_of(folder / "run"),
              path.string() + ": not a record of builds and machines; remove the file to report without this record");
  }
  std::filesystem::remove(path);
  EXPECT_TRUE(read_run(folder / "run").provenance.empty());
}

TEST(RunLog, BadDirectoriesAndConfigs) {
  TemporaryFolder folder;
  EXPECT_NE(error_of(folder / "nowhere").find("no such run directory"), std::string::npos);
  const std::string config = (folder / "run/config.json").string();
  write_run(folder / "run", "", "{\"train\": ");
  EXPECT_TRUE(error_of(folder / "run").starts_with(config + ":1:11: syntax error")) << error_of(folder / "run");
  write_run(folder / "run", "", "[1]");
  EXPECT_EQ(error_of(folder / "run"), config + ": not a JSON object");
  write_run(folder / "run", "", R"({"train": 5})");
  EXPECT_EQ(error_of(folder / "run"), config + ": train.steps is missing or not a whole number");
}

}  // namespace
}  // namespace gptmoe
