// Predictions of `gptmoe plan` for GPUs, without a GPU.
#include "cli/cli_fixture.h"

namespace gptmoe::testing {
namespace {

class Plan : public CommandLine {
 protected:
  Plan() {
    setenv("CUDA_VISIBLE_DEVICES", "", 1);  // hides a GPU if there is one
    write_config("run.json",
                 {{"train", {{"micro_batch_size", 2}, {"global_batch_size", 8}}}, {"router", {{"type", "default"}}}});
  }
  // The output. Its predictions, which come last, have at most 100 columns.
  std::string plan(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"plan", "run.json"});
    const std::string out = succeed(arguments).out;
    std::istringstream lines(out.substr(out.find("\nwork (")));
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 100u) << line;
    return out;
  }
};

TEST_F(Plan, PredictsEveryKernelOfAStep) {
  const std::string out = plan({"--kernels"});
  expect_contains(out, "\npredicted, not measured: a step of one rank of 1, 4 micro-batch(es) of 2 x 7, bf16\n");
  for (const char* op : {"grouped_swiglu_forward", "default_combine_backward", "lm_head_loss", "adamw"})
    expect_contains(out, std::string("\n") + op + " ");
  for (const char* line :
       {"gaps between ", "step ", "a micro-batch ", "tokens/s ", "model ", "assumed: H200, ", "  floor "})
    expect_contains(out, std::string("\n") + line);
  EXPECT_EQ(out.find("all-reduce"), std::string::npos);
  expect_contains(plan({"--kernels", "--gpu", "a100", "--rate", "250"}), "\nassumed: A100, large products 250 TFLOP/s");
}

TEST_F(Plan, PredictsEveryCollectiveOfSeveralRanks) {
  const std::string out = plan({"--kernels", "--ranks", "4", "--nodes", "2"});
  expect_contains(out, "\ndefault_vectors  all-reduce ");
  expect_contains(out, "\nbalance          all-reduce ");
  expect_contains(out, "\nslowed by collectives ");
  expect_contains(out, " 2 machines of 2 ranks; a rank sends 370 GB/s in its machine, a machine 94.0 GB/s out of it\n");
}

// The rates are those of the run's precision, and --rate replaces them.
TEST_F(Plan, HasTheRatesOfThePrecision) {
  const std::string f32 = plan({"--kernels", "--set", "precision=f32"});
  expect_contains(f32, "\nassumed: H200, large products 46.9 TFLOP/s in f32,");
  expect_contains(f32, "% of the peak of 67 (MFU)");
  expect_contains(plan({"--kernels", "--set", "precision=f32", "--rate", "30"}),
                  "\nassumed: H200, large products 30.0 TFLOP/s in f32,");
}

TEST_F(Plan, SaysWhetherTheModelFitsThePredictedGpu) {
  expect_contains(plan({"--kernels"}), "\nfits; ");
  const std::vector<std::string> large = {"--set", "model.num_hidden_layers=32", "--set",
                                          "model.moe_intermediate_size=1000000"};
  for (const std::vector<std::string>& options :
       {std::vector<std::string>{"--gpu", "h100"}, std::vector<std::string>{"--kernels", "--gpu", "h100"}}) {
    std::vector<std::string> arguments = large;
    arguments.insert(arguments.end(), options.begin(), options.end());
    const std::string out = plan(arguments);
    expect_contains(out, "\n  an H100 has              79.0 GiB\n");
    expect_contains(out, "\ndoes not fit: train.micro_batch_size: 2 needs ");
  }
  expect_contains(plan({"--gpu", "h100", "--ranks", "4", "--set", "device=cuda"}), "\n  of 79.0 GiB");
}

TEST_F(Plan, RefusesWhatItCannotPredict) {
  refuse({"plan", "run.json", "--kernels", "--set", "device=cpu"},
         {"device: \"cpu\", but --kernels and --gpu predict a run on a GPU; add --set device=cuda"});
  refuse({"plan", "run.json", "--gpu", "b200"}, {"--gpu: \"b200\" is not known; choose one of h200, h100, a100"});
  refuse({"plan", "run.json", "--kernels", "--ranks", "4", "--nodes", "3"},
         {"--nodes: 4 ranks cannot be shared equally by 3 machines; choose a number that divides 4"});
  // On a CPU too, the ranks are checked before anything is printed or measured.
  for (const std::vector<std::string>& ranks :
       {std::vector<std::string>{"4", "--nodes", "3"}, std::vector<std::string>{"3"}}) {
    std::vector<std::string> arguments = {"plan", "run.json", "--set", "device=cpu", "--ranks"};
    arguments.insert(arguments.end(), ranks.begin(), ranks.end());
    EXPECT_EQ(gptmoe(arguments).out, "");
    refuse(arguments, {"cannot be shared equally by"});
  }
}

}  // namespace
}  // namespace gptmoe::testing
