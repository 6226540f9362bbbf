// Training on a GPU that has too little memory or breaks during the run.
#include <omp.h>

#include "engine/backend.h"
#include "simt/device_memory.h"
#include "simt/simulated_device.h"
#include "support/error_message.h"
#include "support/run_fixture.h"

namespace gptmoe::testing {
namespace {

class DeviceFaults : public ::testing::Test {
 protected:
  DeviceFaults() {
    omp_set_num_threads(1);
    simt::guard_device_memory(true);
  }
  ~DeviceFaults() override {
    simt::simulated_device = {};
    simt::guard_device_memory(false);
  }
  Config config() const { return files_.config({{"device", "cuda"}, {"router", {{"type", "default"}}}}); }
  fs::path operator/(const std::string& name) const { return files_ / name; }

 private:
  RunFolder files_;
};

// A kernel breaks the device just before the middle of a run of twelve steps. The earlier checkpoint stays, and no
// later one is written.
TEST_F(DeviceFaults, ABrokenDeviceIsNamedAndTheCheckpointsAreKept) {
  simt::simulated_device.calls = 0;
  train_quietly(config(), *this / "whole");
  simt::simulated_device.calls_before_failure = simt::simulated_device.calls * 9 / 20;
  simt::simulated_device.calls = 0;
  const std::string line = error_line<DeviceError>([&] { train_quietly(config(), *this / "cut"); });
  const std::string resume = "; step 4 is saved: continue with gptmoe train --resume";
  const size_t at = line.starts_with("after ") ? 6 : 0;  // the fault may come in the evaluation after the step
  ASSERT_EQ(line.find("step "), at) << line;
  const int step = std::atoi(line.c_str() + at + 5);
  EXPECT_TRUE(step > 4 && step <= 8) << line;
  EXPECT_TRUE(line.ends_with(resume)) << line;
  expect_contains(line, "CUDA_LAUNCH_BLOCKING=1");
  EXPECT_EQ(latest_checkpoint(*this / "cut")->filename(), "step_00000004");
  EXPECT_EQ(list_checkpoints(*this / "cut").size(), 1u);

  simt::simulated_device = {};
  train_quietly(config(), *this / "cut", true);
  expect_same_run(*this / "whole", *this / "cut");
}

TEST_F(DeviceFaults, RefusesWhatDoesNotFitBeforeItWritesAnything) {
  Config run = config();
  run.train.micro_batch_size = run.train.global_batch_size = 1 << 16;
  const auto refusal = [&] { return message<UserError>([&] { train_quietly(run, *this / "large"); }); };
  simt::simulated_device.memory_bytes = int64_t{512} << 20;
  const std::string line = refusal();
  EXPECT_TRUE(line.starts_with("train.micro_batch_size: 65536 needs ")) << line;
  expect_contains(line, "that divides train.global_batch_size 65536 and fits is ");
  expect_contains(line, "\n  workspace                96.0 MiB\n");
  EXPECT_THROW(check_run(run, *make_single_world()), UserError);
  simt::simulated_device.memory_bytes = int64_t{1} << 20;
  EXPECT_THROW(make_backend(run), Failure) << "no room for the workspace";
  simt::simulated_device = {};
  EXPECT_FALSE(fs::exists(*this / "large"));
}

}  // namespace
}  // namespace gptmoe::testing
