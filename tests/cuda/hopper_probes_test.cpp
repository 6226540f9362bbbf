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

std::string name_of(const testing::TestParamInfo<Probe>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Copies, HopperProbes, testing::ValuesIn(copy_probes()), name_of);
INSTANTIATE_TEST_SUITE_P(Products, HopperProbes, testing::ValuesIn(product_probes()), name_of);

}  // namespace
}  // namespace gptmoe::cuda
