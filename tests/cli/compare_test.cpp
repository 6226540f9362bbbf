// gptmoe compare: runs, reused runs, sweeps, interruptions and failures.
#include "cli/cli_fixture.h"
#include "cli/sweep_arguments.h"
#include "support/test_folders.h"
#include "train/run_directory.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

TEST(SweepArgument, Parses) {
  const SweepArgument sweep = parse_sweep("optimizer.learning_rate=1e-3,2e-3");
  EXPECT_EQ(sweep.only, "");
  EXPECT_EQ(sweep.path, "optimizer.learning_rate");
  EXPECT_EQ(sweep.values, (std::vector<std::string>{"1e-3", "2e-3"}));
  const SweepArgument one = parse_sweep(R"(default:router={"type":"default","ema_beta":0},"a,b",[1,2])");
  EXPECT_EQ(one.only, "default");
  EXPECT_EQ(one.path, "router");
  EXPECT_EQ(one.values, (std::vector<std::string>{R"({"type":"default","ema_beta":0})", "\"a,b\"", "[1,2]"}));
}

TEST(SweepArgument, RefusesArgumentsThatNameNoPoint) {
  const auto refused = [](const std::string& argument, const std::string& part) {
    try {
      parse_sweep(argument);
      ADD_FAILURE() << argument;
    } catch (const UserError& error) {
      expect_contains(error.what(), "--sweep " + argument + ": ");
      expect_contains(error.what(), part);
    }
  };
  refused("optimizer.learning_rate", "no values");
  refused("=1,2", "no key");
  refused(":seed=1", "no config before the colon");
  refused("seed=1,,2", "an empty value");
  refused("seed=1,2,1", "the value 1 twice");
  refused("seed=1,2", "--seeds N");
}

TEST(SweepArgument, RefusesASweepThatOverwritesAnother) {
  const auto refused = [](const std::vector<SweepArgument>& sweeps) {
    try {
      sweep_grid(sweeps, "topk");
      return false;
    } catch (const UserError& error) {
      expect_contains(error.what(), "--sweep " + sweeps[1].path + ": ");
      return true;
    }
  };
  EXPECT_TRUE(refused({{"", "a.b", {"1", "2"}}, {"topk", "a.b", {"3"}}}));
  EXPECT_TRUE(refused({{"", "a.b", {"1", "2"}}, {"", "a", {"{}"}}}));
  EXPECT_FALSE(refused({{"", "a", {"{}"}}, {"", "a.b", {"1", "2"}}}));
  EXPECT_FALSE(refused({{"", "a.b", {"1"}}, {"", "a.bc", {"1"}}}));
  EXPECT_FALSE(refused({{"", "a.b", {"1"}}, {"other", "a.b", {"1"}}}));
}

TEST(SweepArgument, GridVariesTheLastSettingFastest) {
  const std::vector<SweepArgument> sweeps = {{"", "a", {"1", "2"}}, {"default", "b", {"x", "y"}}};
  const std::vector<std::vector<Setting>> both = sweep_grid(sweeps, "default"), first = sweep_grid(sweeps, "topk");
  ASSERT_EQ(both.size(), 4u);
  EXPECT_EQ(both[1], (std::vector<Setting>{{"a", "1"}, {"b", "y"}}));
  EXPECT_EQ(both[2], (std::vector<Setting>{{"a", "2"}, {"b", "x"}}));
  ASSERT_EQ(first.size(), 2u);
  EXPECT_EQ(first[1], (std::vector<Setting>{{"a", "2"}}));
  EXPECT_EQ(sweep_grid({{"other", "a", {"1"}}}, "topk").size(), 1u);
}

class Compare : public CommandLine {
 protected:
  void write_pair(const json& changes = json::object()) {
    write_config("topk.json", changes);
    json with_router = changes;
    with_router["router"] = {{"type", "default"}};
    write_config("default.json", with_router);
  }
  json report(const std::string& out) { return json::parse(read_text_file(files_ / out / "report.json")); }
};

TEST_F(Compare, TrainsRunsWritesTheReportAndReusesTheRuns) {
  write_config("topk.json");
  write_config("default.json", {{"router", {{"type", "default"}}}});
  const std::vector<std::string> command = {"compare", "topk.json", "default.json", "--seeds", "2", "--out", "both"};
  const ProcessResult first = succeed(command);
  for (const char* run : {"topk/seed_1", "topk/seed_2", "default/seed_1", "default/seed_2"})
    EXPECT_EQ(events_of(files_ / "both" / run).back(), "eval 12") << run;
  EXPECT_EQ(first.out.find("reusing"), std::string::npos);
  const json report = json::parse(read_text_file(files_ / "both/report.json"));
  const std::string html = read_text_file(files_ / "both/report.html");
  for (const char* label : {"topk", "default"}) {
    expect_contains(report.dump(), "\"" + std::string(label) + "\"");
    expect_contains(html, label);
    expect_contains(first.out, label);
  }
  expect_contains(first.out, "report      both/report.html");

  const auto written = fs::last_write_time(files_ / "both/topk/seed_1/metrics.jsonl");
  const ProcessResult second = succeed(command);
  for (const char* run : {"topk/seed_1", "topk/seed_2", "default/seed_1", "default/seed_2"})
    expect_contains(second.out, "reusing     both/" + std::string(run));
  EXPECT_EQ(second.out.find("step 12/12"), std::string::npos);
  EXPECT_EQ(fs::last_write_time(files_ / "both/topk/seed_1/metrics.jsonl"), written);
  EXPECT_EQ(json::parse(read_text_file(files_ / "both/report.json")), report);

  std::vector<std::string> labelled = command;
  for (const char* label : {"Top 1", "Ours"}) labelled.insert(labelled.end(), {"--label", label});
  expect_contains(succeed(labelled).out, "Ours");
  EXPECT_EQ(json::parse(read_text_file(files_ / "both/report.json"))["arms"][1]["label"], "Ours");
  labelled.resize(labelled.size() - 2);
  refuse(labelled, {"--label: 1 label for 2: topk.json, default.json; give one for each, in this order"});

  // A run that was interrupted in the middle is resumed.
  cut_back(files_ / "both/default/seed_2", 8);
  std::string rows = read_text_file(files_ / "both/default/seed_2/metrics.jsonl");
  rows.resize(rows.size() - 5);
  write_text_file(files_ / "both/default/seed_2/metrics.jsonl", rows);
  const ProcessResult third = succeed(command);
  expect_contains(third.out, "both/default/seed_2, resumed at step 8");
  const ProcessResult alone = succeed({"report", "both/topk/seed_1", "both/default/seed_2", "--out", "pair"});
  expect_contains(alone.out, "pair/report.html");
  EXPECT_TRUE(fs::exists(files_ / "pair/report.json"));
}

TEST_F(Compare, WithoutValidationResumesARunThatHasNotFinished) {
  const json no_validation = {{"data", {{"val", ""}}}};
  write_config("a.json", no_validation);
  write_config("b.json", no_validation);
  const std::vector<std::string> command = {"compare", "a.json", "b.json", "--out", "both"};
  gptmoe(command);
  cut_back(files_ / "both/a/seed_1", 4);
  gptmoe(command);
  EXPECT_EQ(latest_checkpoint(files_ / "both/a/seed_1")->filename(), "step_00000012");
}

TEST_F(Compare, SweepsAGridAndComparesTheBest) {
  write_pair();
  const std::vector<std::string> command = {"compare",
                                            "topk.json",
                                            "default.json",
                                            "--out",
                                            "grid",
                                            "--sweep",
                                            "optimizer.learning_rate=1e-4,3e-3",
                                            "--sweep",
                                            "default:router.ema_beta=0,0.9"};
  const ProcessResult first = succeed(command);
  for (const char* run :
       {"topk/learning_rate=1e-4/seed_1", "topk/learning_rate=3e-3/seed_1",
        "default/learning_rate=1e-4,ema_beta=0/seed_1", "default/learning_rate=3e-3,ema_beta=0.9/seed_1"})
    EXPECT_EQ(events_of(files_ / "grid" / run).back(), "eval 12") << run;
  EXPECT_EQ(run_config(files_ / "grid/default/learning_rate=3e-3,ema_beta=0/seed_1").router.block->at("ema_beta"), 0);

  const json points = report("grid")["sweep"]["points"];
  ASSERT_EQ(points.size(), 6u);
  EXPECT_EQ(points[5]["settings"], (json{{"optimizer.learning_rate", "3e-3"}, {"router.ema_beta", "0.9"}}));
  for (const char* config : {"topk", "default"}) {
    double best = HUGE_VAL, chosen = 0;
    for (const json& point : points) {
      if (point["config"] != config) continue;
      const double perplexity = point["arm"]["final_perplexity"]["mean"];
      best = std::min(best, perplexity);
      if (point["best"]) chosen = perplexity;
    }
    EXPECT_EQ(chosen, best) << config;
  }
  EXPECT_EQ(report("grid")["arms"].size(), 2u);
  EXPECT_EQ(report("grid")["arms"][0]["final_perplexity"]["mean"], report("grid")["sweep"]["target_perplexity"]);
  expect_contains(first.out, "topk     learning_rate=1e-4 ");
  expect_contains(succeed(command).out, "reusing     grid/default/learning_rate=1e-4,ema_beta=0.9/seed_1");

  // A second seed for one point of the grid is a separate command. `gptmoe report` then treats the point's runs as one
  // arm.
  succeed({"compare", "topk.json", "--out", "grid", "--sweep", "optimizer.learning_rate=3e-3", "--seeds", "2"});
  const ProcessResult seeds = succeed({"report", "grid/topk/learning_rate=3e-3", "--out", "seeds"});
  EXPECT_EQ(report("seeds")["arms"][0]["runs"].size(), 2u);
  expect_contains(seeds.out, "2 seeds");
}

TEST_F(Compare, ParallelJobsTrainTheSameRuns) {
  write_pair();
  const std::vector<std::string> command = {"compare", "topk.json", "default.json", "--seeds", "2", "--out"};
  const auto with = [&](std::vector<std::string> more) {
    std::vector<std::string> all = command;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  succeed(with({"turns"}));
  const ProcessResult beside = succeed(with({"beside", "--jobs", "3"}));
  for (const char* run : {"topk/seed_1", "topk/seed_2", "default/seed_1", "default/seed_2"}) {
    SCOPED_TRACE(run);
    expect_same_run(files_ / "turns" / run, files_ / "beside" / run);
    expect_contains(read_text_file(files_ / "beside" / (std::string(run) + ".log")), "done ");
  }
  expect_contains(beside.out, "done        topk, seed 2: loss ");
  expect_contains(beside.out, ", validation perplexity ");
  expect_contains(beside.out, "report      beside/report.html");
}

TEST_F(Compare, StoppedJobsSaveAndCanContinue) {
  const json large = {{"train", {{"steps", 800}, {"eval_every", 400}}}};
  write_pair(large);
  std::vector<std::string> command = {"compare", "topk.json", "default.json", "--jobs", "2", "--out", "cut"};
  std::vector<std::string> program = command;
  program.insert(program.begin(), gptmoe_binary());
  Process process(folder(), program);
  const auto started = [&](const char* run) {
    std::error_code none;
    const auto bytes = fs::file_size(files_ / "cut" / run / "metrics.jsonl", none);
    return !none && bytes > 5000;
  };
  process.wait_until([&] { return started("topk/seed_1") && started("default/seed_1"); });
  process.kill(SIGINT);
  const ProcessResult stopped = process.wait();
  EXPECT_EQ(stopped.exit_code, 128 + SIGINT) << stopped.err;
  expect_contains(stopped.out, "stopped     topk, seed 1: loss ");
  expect_contains(stopped.out, "run the same gptmoe compare command again to continue");
  EXPECT_FALSE(fs::exists(files_ / "cut/report.html"));
  EXPECT_LT(latest_checkpoint(files_ / "cut/topk/seed_1")->filename().string(), "step_00000800");
  succeed(command);
  expect_contains(read_text_file(files_ / "cut/topk/seed_1.log"), "resumed at step");
  succeed({"compare", "topk.json", "default.json", "--out", "whole"});
  expect_same_run(files_ / "whole/topk/seed_1", files_ / "cut/topk/seed_1");
}

// A job may be asked to stop before it handles signals.
TEST_F(Compare, StoppingJobsAsTheyStartIsNotAFailure) {
  write_pair({{"train", {{"steps", 100000}}}});
  for (const int milliseconds : {0, 20, 100}) {
    SCOPED_TRACE(milliseconds);
    const std::string out = "early_" + std::to_string(milliseconds);
    Process process(folder(), {gptmoe_binary(), "compare", "topk.json", "default.json", "--jobs", "2", "--out", out});
    process.wait_until([&] { return fs::exists(files_ / out / "default/seed_1.log"); });
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    process.kill(SIGTERM);
    const ProcessResult stopped = process.wait();
    EXPECT_EQ(stopped.exit_code, 128 + SIGTERM) << stopped.err;
    expect_contains(stopped.out, "stopped     default, seed 1");
  }
}

TEST_F(Compare, AJobThatFailsEndsTheOthersAndIsNamed) {
  write_pair({{"train", {{"steps", 3000}}}});
  fs::create_directories(files_ / "bad/default/seed_1/provenance.json");  // a folder where a file should be
  const ProcessResult result = gptmoe({"compare", "topk.json", "default.json", "--jobs", "2", "--out", "bad"});
  EXPECT_NE(result.exit_code, 0);
  EXPECT_TRUE(result.err.starts_with("gptmoe: default, seed 1: bad/default/seed_1/provenance.json")) << result.err;
}

// A folder that holds another run is refused before any training, even if only the last run would use it.
TEST_F(Compare, RefusesFoldersThatHoldOtherRuns) {
  write_pair();
  succeed({"train", "default.json", "--out", "both/default/seed_2", "--set", "seed=3"});
  for (const char* jobs : {"1", "2"}) {
    refuse({"compare", "topk.json", "default.json", "--seeds", "2", "--jobs", jobs, "--out", "both"},
           {"both/default/seed_2: the run has seed = 3, now it is 2; compare with the run's value, or choose another"});
    // train --resume may change this key; compare may not.
    refuse({"compare", "topk.json", "default.json", "--seeds", "2", "--jobs", jobs, "--out", "both", "--set",
            "optimizer.learning_rate=0.5"},
           {"now it is 0.5; compare with the run's value, or choose another --out"});
    EXPECT_FALSE(fs::exists(files_ / "both/topk"));
  }
}

// Editing a config while its runs are queued does not affect them.
TEST_F(Compare, JobsTrainWhatWasPlanned) {
  write_pair({{"train", {{"steps", 60}}}});
  Process process(folder(), {gptmoe_binary(), "compare", "topk.json", "default.json", "--seeds", "2", "--jobs", "2",
                             "--set", "optimizer.learning_rate=1e-4", "--out", "planned"});
  process.wait_until([&] { return fs::exists(files_ / "planned/topk/seed_1.log"); });
  for (const char* name : {"topk.json", "default.json"}) write_text_file(files_ / name, "{}");
  const ProcessResult result = process.wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const Config config = run_config(files_ / "planned/default/seed_2");
  EXPECT_EQ(config.optimizer.learning_rate, 1e-4);
  EXPECT_EQ(config.seed, 2);
}

TEST_F(Compare, SaysThatSpeedsOfJobsAreNotCompared) {
  write_pair();
  const ProcessResult result = succeed({"compare", "topk.json", "default.json", "--jobs", "2", "--out", "beside"});
  expect_contains(result.out, "topk trained at the same time as other runs");
  EXPECT_TRUE(report("beside")["arms"][1]["throughput_ratio"].is_null());
  succeed({"compare", "topk.json", "default.json", "--out", "turns"});
  EXPECT_FALSE(report("turns")["arms"][1]["throughput_ratio"].is_null());
}

TEST_F(Compare, SlashesInValuesAreReplacedInFolderNames) {
  write_pair();
  const std::string whole = (files_ / "val_0.bin").string(), pattern = (files_ / "val_*.bin").string();
  succeed({"compare", "topk.json", "--sweep", "data.val=" + whole + "," + pattern, "--out", "values"});
  std::string name = "val=" + whole;
  std::replace(name.begin(), name.end(), '/', '_');
  EXPECT_EQ(events_of(files_ / "values/topk" / name / "seed_1").back(), "eval 12");
  refuse({"compare", "topk.json", "--sweep", "data.tokenizer=a/b,a_b", "--out", "values"},
         {"topk tokenizer=a/b and topk tokenizer=a_b would share the folder values/topk/tokenizer=a_b/seed_1"});
}

// A learning rate that makes the weights overflow ends that run, but not the sweep.
TEST_F(Compare, ARunThatDivergesIsReportedAndNotRepeated) {
  write_pair({{"optimizer", {{"grad_clip", 0}}}});
  for (const char* jobs : {"1", "2"}) {
    SCOPED_TRACE(jobs);
    const std::string out = "jobs_" + std::string(jobs);
    const std::vector<std::string> command = {"compare", "topk.json", "--sweep", "optimizer.learning_rate=1e-3,1e30",
                                              "--jobs",  jobs,        "--out",   out};
    const ProcessResult first = succeed(command);
    EXPECT_TRUE(events_of(files_ / out / "topk/learning_rate=1e30/seed_1").back().starts_with("diverged "));
    const json points = report(out)["sweep"]["points"];
    EXPECT_EQ(points[1]["arm"]["diverged"], 1);
    EXPECT_FALSE(points[1]["best"]);
    EXPECT_TRUE(points[0]["best"]);
    expect_contains(first.out, "diverged");
    expect_contains(succeed(command).out, "reusing     " + out + "/topk/learning_rate=1e30/seed_1");
  }
}

TEST_F(Compare, DrawsAReferenceBesideTheGap) {
  const std::string curves = source_folder() + "/data/paper_curves.json";
  write_config("8c1_topk.json");
  write_config("8c1_default.json", {{"router", {{"type", "default"}}}});
  const std::vector<std::string> command = {"compare", "8c1_topk.json", "8c1_default.json", "--out", "both"};
  const auto with = [&](const std::string& reference) {
    std::vector<std::string> all = command;
    all.insert(all.end(), {"--reference", reference});
    return all;
  };
  const ProcessResult named = succeed(with(curves));
  expect_contains(named.out, "differs from that of Panda et al., 8c1 by ");
  expect_contains(read_text_file(files_ / "both/report.html"), "Panda et al., 8c1, by share");
  EXPECT_EQ(report("both")["reference"]["points"].size(), 68u);
  EXPECT_GT(report("both")["arms"][1]["reference_distance"], 0);
  EXPECT_TRUE(report("both")["arms"][0]["reference_distance"].is_null());

  succeed({"report", "both", "--reference", curves, "--out", "again"});
  EXPECT_EQ(report("again")["reference"], report("both")["reference"]);
  EXPECT_EQ(report("again")["arms"][1]["reference_distance"], report("both")["arms"][1]["reference_distance"]);
  refuse({"report", "both/8c1_topk", "--reference", curves, "--out", "again"}, {"needs a gap between two arms"});

  succeed(with(curves + ":32c4"));
  EXPECT_EQ(report("both")["reference"]["name"], "32c4");
  succeed(command);
  EXPECT_TRUE(report("both")["reference"].is_null());
  refuse(with(curves + ":8c3"), {"it has no pair \"8c3\"", "PAIR is one of 8c1, 8c1_3e-4", "32c4"});
  refuse(with("nothing.json"), {"nothing.json"});
  refuse({"compare", "8c1_topk.json", "--seeds", "2", "--reference", curves}, {"needs a gap between two configs"});
}

TEST_F(Compare, RefusesWhatCannotBeCompared) {
  write_pair();
  refuse({"compare", "topk.json"}, {"nothing to compare", "gptmoe train"});
  refuse({"compare", "topk.json", "--sweep", "train.setps=3,4"}, {"--sweep train.setps=3: topk.json: ", "steps"});
  refuse({"compare", "topk.json", "default.json", "--sweep", "router.ema_beta=0.5,0.9"},
         {"--sweep router.ema_beta=0.5: topk.json: ", "write --sweep CONFIG:router.ema_beta=..."});
  const std::string there = refuse({"compare", "topk.json", "default.json", "--sweep", "default:router.beta=0,1"},
                                   {"--sweep router.beta=0: default.json: "});
  EXPECT_EQ(there.find("CONFIG:"), std::string::npos) << there;
  refuse({"compare", "topk.json", "--sweep", "optimizer.learning_rate=1e-3,0.001"},
         {"topk learning_rate=1e-3 and topk learning_rate=0.001 are the same run"});
  refuse({"compare", "topk.json", "--seeds", "2", "--set", "seed=9223372036854775807"},
         {"--seeds 2: no seeds follow seed = 9223372036854775807"});
  refuse({"compare", "topk.json", "--seeds", "2", "--sweep", "seed=1,2"}, {"--sweep seed=1,2: ", "--seeds N"});
  refuse({"compare", "topk.json", "--sweep", "tokp:train.steps=3,4"}, {"no config here is named \"tokp\""});
  refuse({"compare", "topk.json", "default.json", "--jobs", "0"}, {"--jobs"});
}

}  // namespace
}  // namespace gptmoe::testing
