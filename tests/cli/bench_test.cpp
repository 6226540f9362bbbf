// gptmoe bench: its times must add up and its rows must hold the right fields. No test checks how fast anything is.
#include <map>
#include <regex>

#include "base/cores.h"
#include "cli/cli_fixture.h"
#include "routing/router_table.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

std::vector<json> json_lines(const std::string& text) {
  std::vector<json> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(json::parse(line));
  return lines;
}

class BenchCommand : public CommandLine {
 protected:
  std::vector<json> bench(std::vector<std::string> arguments, const ProcessOptions& options = {}) {
    arguments.insert(arguments.begin(), "bench");
    arguments.insert(arguments.end(), {"--json", "-"});
    return json_lines(succeed(arguments, options).out);
  }
  std::vector<json> bench_step(const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"step", "--steps", "2", "--warmup", "1", "--rounds", "2"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return bench(arguments);
  }
};

double number(const json& row, const char* key) { return row.at(key).get<double>(); }

// `us`: the time that the rates and the ratio are computed from.
void expect_row(const json& row, double matrix_rate, double copy_rate, const char* us = "us") {
  SCOPED_TRACE(row.dump());
  EXPECT_FALSE(row["name"].get<std::string>().empty());
  EXPECT_FALSE(row["shape"].get<std::string>().empty());
  EXPECT_GT(number(row, "us"), 0);
  EXPECT_LE(number(row, "us"), number(row, "median_us"));
  EXPECT_GT(number(row, "bytes"), 0);
  const double floor = std::max(number(row, "flops") / matrix_rate, number(row, "bytes") / copy_rate) * 1e6;
  EXPECT_NEAR(number(row, "floor_us"), floor, 1e-6 * floor);
  EXPECT_NEAR(number(row, "time_to_floor") * floor, number(row, us), 1e-6 * number(row, us));
  for (const auto& [rate, amount] : {std::pair{"bytes_per_second", "bytes"}, {"flops_per_second", "flops"}})
    EXPECT_NEAR(number(row, rate) * number(row, us) * 1e-6, number(row, amount), 1e-6 * number(row, amount));
}

// The x coordinates of the points of every line in the SVG.
std::vector<std::vector<double>> xs_of_lines(const std::string& svg) {
  const std::regex path("<path class=\"line [^>]* d=\"([^\"]*)\""), point("[ML]([-0-9.]+) ");
  std::vector<std::vector<double>> lines;
  for (std::sregex_iterator line(svg.begin(), svg.end(), path), end; line != end; ++line) {
    const std::string drawn = (*line)[1];
    std::vector<double>& xs = lines.emplace_back();
    for (std::sregex_iterator at(drawn.begin(), drawn.end(), point); at != end; ++at) xs.push_back(std::stod((*at)[1]));
  }
  return lines;
}

TEST_F(BenchCommand, ThePartsOfAStepAddUp) {
  for (const std::string& router : router_names()) {
    SCOPED_TRACE(router);
    write_config("run.json", {{"router", {{"type", router}}},
                              {"model", {{"router_aux_loss_coef", 0}}},
                              {"train", {{"global_batch_size", 4}}}});
    const std::vector<json> lines = bench_step({"run.json"});
    ASSERT_EQ(lines.size(), 1u);
    const json& step = lines[0];
    const double step_us = number(step["account"], "step_us");
    const double undisturbed_us = number(step["account"], "undisturbed_step_us");
    EXPECT_EQ(undisturbed_us, number(step, "median_us"));
    EXPECT_NEAR((1 + number(step["account"], "cost")) * undisturbed_us, step_us, 1e-6 * step_us);
    const double matrix_rate = number(step["account"], "matrix_flops_per_second");
    EXPECT_NEAR(matrix_rate, number(step, "matrix_gflops") * 1e9, 1e-6 * matrix_rate)
        << "both use the same denominator";
    EXPECT_NEAR(number(step, "share_of_matrix_rate") * matrix_rate, number(step, "model_gflops") * 1e9,
                1e-6 * matrix_rate);
    EXPECT_EQ(step["tokens_per_step"], 28);

    std::map<std::string, double> op_us;
    double flops = 0;
    for (const json& op : step["ops"]) {
      expect_row(op, matrix_rate, number(step["account"], "copy_bytes_per_second"), "median_us");
      EXPECT_NEAR(number(op, "share") * step_us, number(op, "median_us"), 1e-6 * step_us);
      EXPECT_GE(op["calls"], 1);
      op_us[op["kind"]] += number(op, "median_us");
      flops += number(op, "flops");
    }
    double share = 0, us = 0;
    for (const auto& [name, part] : step["account"]["parts"].items()) {
      EXPECT_GE(number(part, "us"), 0) << name;
      share += number(part, "share");
      us += number(part, "us");
      op_us.try_emplace(name, number(part, "us"));  // the part "other" has no ops
      EXPECT_NEAR(number(part, "us"), op_us[name], 1e-6 * step_us) << name;
    }
    EXPECT_EQ(op_us.size(), 5u) << "four parts and the rest";
    EXPECT_NEAR(share, 1, 1e-9);
    EXPECT_NEAR(us, step_us, 1e-6 * step_us);
    const double model_flops = number(step, "model_gflops") * 1e9 / number(step, "tokens_per_second") * 28;
    EXPECT_NEAR(flops, model_flops, 1e-6 * model_flops);
  }
}

// OpenMP binds the main thread to one core then, when it is loaded.
TEST_F(BenchCommand, UsesAllCoresIfOpenMPBindsItsThreads) {
  write_config("run.json");
  const std::vector<json> lines =
      bench({"step", "run.json", "--steps", "1", "--warmup", "1", "--rounds", "1", "--no-account"},
            {.environment = {"OMP_PROC_BIND=true", "OMP_NUM_THREADS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}});
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["threads"], usable_cores());
}

TEST_F(BenchCommand, ConfigsAreTimedInTurnsAndDrawn) {
  write_config("run.json");
  write_config("other.json", {{"router", {{"type", "default"}}}});
  const std::vector<json> pair = bench_step({"run.json", "other.json", "--no-account"});
  ASSERT_EQ(pair.size(), 2u);
  EXPECT_FALSE(pair[0].contains("to_first"));
  EXPECT_GT(number(pair[1], "to_first"), 0);
  EXPECT_FALSE(pair[0].contains("account"));

  const std::vector<json> grid =
      bench_step({"run.json", "--experts", "2,5", "--tokens", "14,28", "--no-account", "--svg", "speed.svg"});
  ASSERT_EQ(grid.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(grid[i]["num_experts"], i < 2 ? 2 : 5);
    EXPECT_EQ(grid[i]["tokens_per_step"], i % 2 == 0 ? 14 : 28);
    EXPECT_EQ(grid[i]["micro_batches"], 1);
  }
  const std::string svg = read_text_file(files_ / "speed.svg");
  EXPECT_TRUE(svg.starts_with("<svg "));
  for (const char* label : {"run.json, 14 tokens", "run.json, 28 tokens"}) expect_contains(svg, label);
  const std::vector<std::vector<double>> lines = xs_of_lines(svg);
  ASSERT_EQ(lines.size(), 2u) << "one for each number of tokens";
  for (const std::vector<double>& xs : lines) {
    ASSERT_EQ(xs.size(), 2u);
    EXPECT_LT(xs[0], xs[1]) << "from 2 experts to 5";
    EXPECT_EQ(xs, lines[0]);
  }
}

TEST_F(BenchCommand, EveryConfigPrintsTheRatesBehindItsFloors) {
  write_config("run.json");
  for (const char* kind : {"step", "layer"}) {
    std::istringstream out(succeed({"bench", kind, "run.json", "--experts", "2,5", "--rounds", "1"}).out);
    std::map<std::string, int> said;
    for (std::string line; std::getline(out, line);)
      if (line.find("large matrix products ") != std::string::npos) ++said[line.substr(0, line.find(" expert"))];
    EXPECT_EQ(said, (std::map<std::string, int>{{"run, 2", 1}, {"run, 5", 1}})) << kind;
  }
}

TEST_F(BenchCommand, PrintsATableAndWritesAFileOfTheSameRows) {
  const ProcessResult result = succeed({"bench", "ops", "squared_norm", "--json", "rows.json", "--device", "cpu"});
  expect_contains(result.out, "large matrix products ");
  expect_contains(result.out, "\n| squared_norm ");
  const std::vector<json> lines = json_lines(read_text_file(files_ / "rows.json"));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1]["name"], "squared_norm");
  EXPECT_EQ(lines[1]["kind"], "forward");
  EXPECT_EQ(lines[1]["shape"], "4194304");
  EXPECT_EQ(lines[1]["bytes"], 4 * 4194304 + 4);
  expect_row(lines[1], number(lines[0], "matrix_flops_per_second"), number(lines[0], "copy_bytes_per_second"));
}

TEST_F(BenchCommand, AnMoeLayerHasTheFlopsOfItsDenseEquivalentAndItsRouter) {
  for (const std::string& router : router_names()) {
    SCOPED_TRACE(router);
    write_config("run.json",
                 {{"router", {{"type", router}}}, {"model", {{"n_shared_experts", 1}, {"router_aux_loss_coef", 0}}}});
    const std::vector<json> lines = bench({"layer", "run.json", "--experts", "4", "--rounds", "1"});
    ASSERT_EQ(lines.size(), 8u) << "the device, three layers forward and backward, the ratio";
    std::map<std::string, double> flops;
    for (size_t i = 1; i < 7; ++i) {
      flops[lines[i]["name"].get<std::string>() + " " + lines[i]["kind"].get<std::string>()] =
          number(lines[i], "flops");
      EXPECT_EQ(lines[i]["shape"], "14x12");
      EXPECT_LE(number(lines[i], "us"), number(lines[i], "median_us"));
    }
    const double router_flops = 2 * 14 * 12 * 4;
    EXPECT_NEAR(flops["MoE forward"], flops["dense FFN forward"] + router_flops, 1e-6 * router_flops);
    EXPECT_NEAR(flops["MoE backward"], flops["dense FFN backward"] + 2 * router_flops, 1e-6 * router_flops);
    EXPECT_GT(flops["attention backward"], flops["attention forward"]);
    EXPECT_GT(number(lines[7], "moe_to_dense"), 0);
  }
}

TEST_F(BenchCommand, TheLoaderTakesAPatternOrAConfigOrMakesItsOwnShards) {
  write_config("run.json");
  for (const std::vector<std::string>& source :
       {std::vector<std::string>{"train_*.bin", "--sequence-length", "7", "--batch", "2"}, {"run.json"}, {}}) {
    std::vector<std::string> arguments = {"loader"};
    arguments.insert(arguments.end(), source.begin(), source.end());
    const std::vector<json> lines = bench(arguments, {.environment = {"TMPDIR=" + folder().string()}});
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_EQ(lines[0]["shape"], source.empty() ? "8x2048" : "2x7");
    const double tokens = source.empty() ? 8 * 2048 : 2 * 7;
    const auto expect_rate = [&](const char* rate, const char* us) {
      EXPECT_NEAR(number(lines[0], rate) * number(lines[0], us) * 1e-6, tokens, 1e-6 * tokens) << rate;
    };
    expect_rate("tokens_per_second", "median_us");
    expect_rate("fastest_tokens_per_second", "us");
  }
  for (const auto& entry : fs::directory_iterator(folder())) EXPECT_FALSE(entry.is_directory()) << entry.path();
}

TEST_F(BenchCommand, BadInputIsOneLine) {
  write_config("run.json");
  write_config("dense.json", {{"model", {{"num_experts", 0}, {"num_experts_per_tok", nullptr}}}});
  refuse({"bench"}, {"subcommand", "see gptmoe bench --help"});
  refuse({"bench", "stop"}, {"unknown subcommand \"stop\"; did you mean \"step\"? see gptmoe bench --help"});
  refuse({"bench", "ops", "--jsno", "a"},
         {"unexpected argument: --jsno (did you mean --json?); see gptmoe bench ops --help"});
  refuse({"bench", "ops", "no_such_op"}, {"no op's name contains \"no_such_op\""});
  refuse({"bench", "ops", "--device", "tpu"}, {"--device", "tpu"});
  refuse({"bench", "step"}, {"configs"});
  refuse({"bench", "step", "none.json"}, {"none.json"});
  refuse({"bench", "step", "run.json", "--rounds", "0"}, {"--rounds: must be 1 or more, not 0; see"});
  refuse({"bench", "step", "run.json", "--steps", "2.5"}, {"--steps: must be a whole number, 1 or more, not 2.5; see"});
  refuse({"bench", "step", "run.json", "--experts", "8,x"},
         {"--experts: must be a whole number, 1 or more, not x; see"});
  refuse({"bench", "ops", "--threads", "-1"}, {"--threads: must be 0 to 1024, not -1; see"});
  refuse({"bench", "ops", "--threads", "20000"}, {"--threads: must be 0 to 1024, not 20000; see"});
  refuse({"bench", "step", "run.json", "--set", "train.step=3"}, {"train.step", "\"steps\""});
  refuse({"bench", "step", "run.json", "--tokens", "10"}, {"--tokens 10: not a multiple of train.sequence_length 7"});
  refuse({"bench", "step", "run.json", "--experts", "1"}, {"num_experts_per_tok"});
  refuse({"bench", "step", "run.json", "--json", "none/x.json"}, {"--json: none is not a folder"});
  refuse({"bench", "step", "run.json", "--svg", "."}, {"--svg: . is a folder"});
  refuse({"bench", "layer", "dense.json"}, {"dense.json: a dense model"});
  refuse({"bench", "loader", "none_*.bin"}, {"none_*.bin: no file matches"});
  refuse({"bench", "loader", "train_*.bin"}, {"too few for sequence_length 2,048"});
}

}  // namespace
}  // namespace gptmoe::testing
