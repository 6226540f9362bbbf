// An installed tree runs the quickstart in the user's own folder, and needs neither the build nor the sources.
#include "cli/cli_fixture.h"
#include "support/sanitized.h"

namespace gptmoe::testing {
namespace {

class Install : public CommandLine {
 protected:
  void SetUp() override {
    if (!fs::exists(build_folder() + "/gptmoe-tokenize")) GTEST_SKIP() << "gptmoe-tokenize is not built";
    if (kSanitized) GTEST_SKIP() << "the programs are large and slow; the scripts are the same";
    const ProcessResult result =
        run(folder(), {"/usr/bin/env", "cmake", "--install", build_folder(), "--prefix", (files_ / "prefix").string()});
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  fs::path installed(const std::string& name) const { return files_ / "prefix" / name; }
};

TEST_F(Install, HoldsWhatAUserNeeds) {
  for (const char* name :
       {"bin/gptmoe", "bin/gptmoe-tokenize", "share/gptmoe/configs/quickstart/default.json",
        "share/gptmoe/configs/paper/8c1_default.json", "share/gptmoe/data/paper_curves.json",
        "share/gptmoe/tools/prepare_text.sh", "share/gptmoe/tools/slurm_train.sh",
        "share/gptmoe/tools/parquet_to_jsonl.py", "share/doc/gptmoe/README.md", "share/doc/gptmoe/LICENSE",
        "share/doc/gptmoe/CHANGELOG.md", "share/doc/gptmoe/docs/config.md", "share/bash-completion/completions/gptmoe",
        "share/bash-completion/completions/gptmoe-tokenize"})
    EXPECT_TRUE(fs::is_regular_file(installed(name))) << name;
  for (const char* program : {"bin/gptmoe", "bin/gptmoe-tokenize"})
    EXPECT_EQ(read_text_file(installed(program)).find(build_folder()), std::string::npos)
        << program << " contains the path of the build folder";
  EXPECT_EQ(run(folder(), {installed("bin/gptmoe").string(), "--version"}).out, succeed({"--version"}).out);
}

TEST_F(Install, RunsTheQuickstartInTheCurrentFolder) {
  std::string book;
  for (int i = 0; i < 4000; ++i) book += text("Line ", i, " of ", i * 7919 % 1000, ".\n", i % 8 == 0 ? "\n" : "");
  const fs::path work = files_ / "work";
  fs::create_directory(work);
  write_text_file(work / "book.txt", book);
  const std::string tools = installed("share/gptmoe/tools/").string();
  const ProcessResult prepared =
      run(work, {tools + "prepare_text.sh", "--out", "data/quickstart", "--text", "book.txt", "--vocab-size", "300"});
  ASSERT_EQ(prepared.exit_code, 0) << prepared.err;
  const ProcessResult trained =
      run(work, {installed("bin/gptmoe").string(), "train",
                 installed("share/gptmoe/configs/quickstart/default.json").string(), "--set", "train.steps=1", "--set",
                 "schedule.warmup_steps=0", "--set", "train.eval_tokens=256"});
  EXPECT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_TRUE(fs::exists(work / "runs/default/checkpoints/step_00000001"));

  fs::remove(installed("bin/gptmoe"));
  const ProcessResult without = run(work, {tools + "quickstart.sh", "--text", "book.txt"});
  EXPECT_EQ(without.exit_code, 2);
  EXPECT_EQ(without.err,
            installed("bin/gptmoe").string() + " is not there; install gptmoe again, from a build that has gptmoe\n");
}

}  // namespace
}  // namespace gptmoe::testing
