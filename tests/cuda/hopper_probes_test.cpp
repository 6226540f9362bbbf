// Prints what each probe finds. tools/gpu_check.sh runs each in a process of its own.
#include "cuda/hopper_probes.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "cuda/device.h"
#include "kernels/ops.h"

namespace gptmoe::cuda {
namespace {

class HopperProbes : public testing::TestWithParam<Probe> {};

TEST_P(HopperProbes, TheAssumedReadingIsRight) {
  use_gpu(GpuModel::usual);
  if (const std::string obstacle = why_no_hopper(); !obstacle.empty()) GTEST_SKIP() << obstacle;
#ifdef GPTMOE_SIMT
  if (!GetParam().simulated) GTEST_SKIP() << "not simulated";
#endif
  const std::vector<Reading> readings = GetParam().run();
  std::printf("probe %s: %s\n", GetParam().name, GetParam().question);
  for (const Reading& reading : readings)
    std::printf("  %s  %s%s\n", reading.right ? "right" : "wrong", reading.text.c_str(),
                &reading == readings.data() ? " (assumed)" : "");
  EXPECT_TRUE(readings[0].right) << readings[0].text;
}

INSTANTIATE_TEST_SUITE_P(Probes, HopperProbes, testing::ValuesIn(hopper_probes()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace gptmoe::cuda
