// Jobs of gptmoe-tokenize that are stopped and started again.
#include "corpus/tokenize_tool_fixture.h"

namespace gptmoe {
namespace {

struct InterruptedToolTest : TokenizeToolTest {
  // Every file is a batch and every few files make a shard, so the job takes long enough to be interrupted in the
  // middle.
  void SetUp() override {
    prepare();
    fs::create_directory(folder / "in");
    for (int file = 0; file < 400; ++file) {
      std::ofstream out(folder / "in" / (std::to_string(file) + ".jsonl"));
      for (int i = 0; i < 40; ++i)
        out << "{\"text\": \"" << file * 7919 + i << " the river ran on and on, past " << i << " fields\"}\n";
    }
    EXPECT_EQ(testing::run(folder.path(), command("whole")).exit_code, 0);
  }
  std::vector<std::string> command(const std::string& output) const {
    return {program(), "encode",         "--tokenizer", "t.json",         "--input", "in",        "--output",
            output,    "--shard-tokens", "100000",      "--val-fraction", "0.05",    "--threads", "2"};
  }
  bool begun() const { return fs::exists(folder / "d" / "train_000000.bin"); }
  void expect_whole() {
    EXPECT_EQ(std::system(("diff -r '" + (folder / "whole").string() + "' '" + (folder / "d").string() + "'").c_str()),
              0);
  }
  // Sends `signal` once the first shard exists. Repeats the run if it finished before the signal arrived.
  testing::ProcessResult interrupted(int signal) {
    for (int attempt = 0; attempt < 20; ++attempt) {
      fs::remove_all(folder / "d");
      testing::Process process(folder.path(), command("d"));
      process.wait_until([&] { return begun(); });
      process.kill(signal);
      const testing::ProcessResult result = process.wait();
      if (result.exit_code != 0) return result;
    }
    ADD_FAILURE() << "never interrupted";
    return {};
  }
  void interrupt_and_go_on(int signal) {
    const testing::ProcessResult result = interrupted(signal);
    EXPECT_EQ(result.exit_code, 128 + signal) << result.err;
    EXPECT_EQ(result.err, "");
    EXPECT_TRUE(
        std::regex_match(result.out, std::regex("d: stopped after [0-9,]+ documents \\([^)]*\\), saved; run the same "
                                                "command again to continue\n")))
        << result.out;
    EXPECT_EQ(testing::run(folder.path(), command("d")).exit_code, 0);
    expect_whole();
  }
};

TEST_F(InterruptedToolTest, ByTheKeyboard) { interrupt_and_go_on(SIGINT); }

TEST_F(InterruptedToolTest, ByATerminationRequest) { interrupt_and_go_on(SIGTERM); }

TEST_F(InterruptedToolTest, ByAKill) {
  for (int kills = 0; kills < 4; ++kills) {
    testing::Process process(folder.path(), command("d"));
    const auto shards = [&] { return glob_files((folder / "d" / "train_*.bin").string()).size(); };
    const size_t before = shards();
    process.wait_until([&] { return shards() > before; });
    process.kill(SIGKILL);
    process.wait();
  }
  EXPECT_EQ(testing::run(folder.path(), command("d")).exit_code, 0);
  expect_whole();
}

}  // namespace
}  // namespace gptmoe
