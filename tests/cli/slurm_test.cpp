// tools/slurm_train.sh with stand-ins for two SLURM commands: srun sends the signal that announces the time limit, and
// scontrol records the requeue.
#include "cli/cli_fixture.h"
#include "support/test_folders.h"

namespace gptmoe::testing {
namespace {

class Slurm : public CommandLine {
 protected:
  void SetUp() override {
    write_config("run.json", {{"train", {{"steps", 1200}, {"eval_every", 400}}}, {"checkpoint", {{"every", 0}}}});
    // Drops srun's own options. If the file `limits` has a line, removes it and sends SIGUSR1 to the program as soon as
    // the metrics have grown.
    write_program("srun", R"sh(
while [[ $1 == --* ]]; do shift; done
"$@" &
program=$!
size() { stat -c %s run/metrics.jsonl 2>/dev/null || echo 0; }
if [ -s limits ]; then
  sed -i 1d limits
  before=$(size)
  until [ "$(size)" -gt $((before + 5000)) ]; do sleep 0.01; done
  kill -USR1 $program
fi
wait $program)sh");
    write_program("scontrol", R"sh(echo "$@" >> requeued)sh");
  }
  void write_program(const std::string& name, const std::string& body) {
    write_text_file(files_ / name, "#!/bin/bash\n" + body + "\n");
    fs::permissions(files_ / name, fs::perms::owner_all);
  }
  ProcessResult start_job(const std::vector<std::string>& options = {}) {
    std::vector<std::string> command = {"/usr/bin/env",
                                        "PATH=" + folder().string() + ":/usr/bin:/bin",
                                        "SLURM_JOB_ID=77",
                                        "GPTMOE=" + gptmoe_binary(),
                                        source_folder() + "/tools/slurm_train.sh",
                                        "run.json",
                                        "run"};
    command.insert(command.end(), options.begin(), options.end());
    return run(folder(), command);
  }
};

TEST_F(Slurm, RequeuesAtTheTimeLimitAndContinues) {
  succeed({"train", "run.json", "--out", "whole"});
  write_text_file(files_ / "limits", "1\n2\n");
  for (int limit = 1; limit <= 2; ++limit) {
    const ProcessResult stopped = start_job();
    EXPECT_EQ(stopped.exit_code, 128 + SIGUSR1) << stopped.err;
    std::string requeued;
    for (int i = 0; i < limit; ++i) requeued += "requeue 77\n";
    EXPECT_EQ(read_text_file(files_ / "requeued"), requeued);
  }
  const ProcessResult last = start_job();
  EXPECT_EQ(last.exit_code, 0) << last.err;
  expect_contains(last.out, "resumed at step");
  EXPECT_EQ(read_text_file(files_ / "requeued"), "requeue 77\nrequeue 77\n");
  expect_same_run(files_ / "whole", files_ / "run");
}

TEST_F(Slurm, DoesNotRequeueAJobThatFails) {
  const ProcessResult failed = start_job({"--set", "train.steps=none"});
  EXPECT_EQ(failed.exit_code, 2);
  EXPECT_FALSE(fs::exists(files_ / "requeued"));
}

}  // namespace
}  // namespace gptmoe::testing
