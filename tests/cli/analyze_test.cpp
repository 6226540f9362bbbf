// gptmoe analyze: what it prints, what it writes, and what it must not change.
#include "cli/cli_fixture.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class AnalyzeCommand : public CommandLine {
 protected:
  // Trains a run in `run`.
  void train(const json& changes = json::object()) {
    write_config("run.json", changes);
    succeed({"train", "run.json", "--out", "run"});
  }
  json analysis() { return json::parse(read_text_file(files_ / "run/analysis.json")); }
};

TEST_F(AnalyzeCommand, WritesTheTablesAndTheReport) {
  train({{"router", {{"type", "default"}}}, {"model", {{"first_k_dense_replace", 1}}}});
  const fs::path checkpoint = files_ / "run/checkpoints/step_00000012";
  std::vector<std::string> before, after;
  const std::vector<fs::path> kept = {checkpoint / "model.safetensors", checkpoint / "optimizer.safetensors",
                                      checkpoint / "state.json", files_ / "run/config.json",
                                      files_ / "run/metrics.jsonl"};
  for (const fs::path& file : kept) before.push_back(read_text_file(file));

  const ProcessResult result = succeed({"analyze", "run", "--tokens", "56", "--batches", "2"});
  expect_contains(result.out, "run/checkpoints/step_00000012 (default, 5 experts, 2 per token)");
  expect_contains(result.out, "routing on 56 tokens, gradients and errors on 2 x 14 tokens of ");
  expect_contains(result.out,
                  "\nlayer  entropy  busiest  idlest  vec cos  error  T/router  D/router  T/model  D/model\n1 ");
  expect_contains(result.out, "analysis    run/analysis.json\nreport      run/report.html\n");
  for (const fs::path& file : kept) after.push_back(read_text_file(file));
  EXPECT_TRUE(before == after);

  const json written = analysis();
  EXPECT_EQ(written["checkpoint"], "checkpoints/step_00000012");
  EXPECT_EQ(written["step"], 12);
  EXPECT_EQ(written["router"], "default");
  EXPECT_EQ(written["layers"], json({1}));
  EXPECT_EQ(written["routing_tokens"], 56);
  EXPECT_EQ(written["default_vectors"]["source"], "checkpoint");
  EXPECT_EQ(written["gradient_similarity"].size(), 16u);
  ASSERT_EQ(written["collapse"]["evals"].size(), 3u);  // steps 5, 10 and 12
  EXPECT_EQ(written["collapse"]["evals"][2]["step"], 12);
  const std::string report = read_text_file(files_ / "run/report.html");
  expect_contains(report, "<h2>Analysis</h2>");

  succeed({"report", "run"});
  expect_contains(read_text_file(files_ / "run/report.html"), "<h2>Analysis</h2>");
  fs::remove(files_ / "run/analysis.json");
  succeed({"report", "run"});
  EXPECT_EQ(read_text_file(files_ / "run/report.html").find("<h2>Analysis"), std::string::npos);
}

TEST_F(AnalyzeCommand, AgreesWithTheRunsOwnEvaluation) {
  train({{"train", {{"eval_tokens", 70}}}});  // five whole batches
  succeed({"analyze", "run", "--tokens", "70", "--batches", "1"});
  const json last = metrics_of(files_ / "run").back(), written = analysis();
  for (size_t layer = 0; layer < 2; ++layer) {
    EXPECT_NEAR(written["router_entropy"][layer].get<double>(), last["router_entropy"][layer].get<double>(), 1e-6);
    for (size_t e = 0; e < 5; ++e)
      EXPECT_NEAR(written["expert_load"][layer][e].get<double>(), last["expert_load"][layer][e].get<double>(), 1e-6);
  }
}

TEST_F(AnalyzeCommand, TheCheckpointTheShardsAndTheBatchSizeCanBeGiven) {
  train({{"data", {{"val", ""}}}});
  const ProcessResult result = succeed({"analyze", "run/checkpoints/step_00000004", "--data", "val_0.bin",
                                        "--batch-size", "3", "--device", "cpu", "--batches", "1"});
  expect_contains(result.out, "gradients and errors on 1 x 21 tokens of val_0.bin");
  expect_contains(result.out, "note        The run has no default vectors; they are estimated");
  EXPECT_EQ(analysis()["step"], 4);
  EXPECT_EQ(analysis()["data"], "val_0.bin");
  EXPECT_EQ(analysis()["routing_tokens"], 63) << "11 windows hold three whole batches";
  EXPECT_TRUE(analysis()["collapse"]["evals"].empty());
  // The batch is larger than the number of windows.
  succeed({"analyze", "run", "--data", "val_0.bin", "--batch-size", "1000", "--batches", "1"});
  EXPECT_EQ(analysis()["batch_tokens"], 77);
  refuse({"analyze", "run"}, {"no validation data; pass --data GLOB"});
  refuse({"analyze", "run", "--data", "none_*.bin"}, {"none_*.bin"});
}

TEST_F(AnalyzeCommand, RefusesWhatItCannotAnalyze) {
  train({{"model", {{"num_experts", 0}, {"num_experts_per_tok", nullptr}}}});
  refuse({"analyze", "run"}, {"step_00000012: a dense model", "no router to analyze"});
  refuse({"analyze", "nowhere"}, {"nowhere: no such file or folder"});
  refuse({"analyze"}, {"run"});
  refuse({"analyze", "run", "--tokens", "0"}, {"--tokens"});
  fs::create_directory(files_ / "empty");
  refuse({"analyze", "empty"}, {"empty: neither a run's folder"});
  fs::create_directories(files_ / "new/checkpoints");
  refuse({"analyze", "new"}, {"new: this run has no checkpoint yet"});
  copy_folder(files_ / "run/checkpoints/step_00000012", files_ / "alone");
  refuse({"analyze", "alone"}, {"alone: not inside a run's folder"});
}

TEST_F(AnalyzeCommand, ADamagedAnalysisIsNamedAndReplaced) {
  train();
  write_text_file(files_ / "run/analysis.json", "{\"step\": 1");
  refuse({"report", "run"}, {"run/analysis.json:1:11: syntax error", "run gptmoe analyze again or remove the file"});
  succeed({"analyze", "run", "--batches", "1"});
  succeed({"report", "run"});
}

}  // namespace
}  // namespace gptmoe::testing
