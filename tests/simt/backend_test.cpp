// Which backend "device" and "precision" come to, and what is said where they cannot be had.
#include "train/backend.h"

#include <gtest/gtest.h>

#include "model/model_fixture.h"
#include "simt/simulated_device.h"

namespace gptmoe::testing {
namespace {

class Backend : public ::testing::Test {
 protected:
  ~Backend() override { simt::simulated_device = {}; }

  static Config config(const std::string& device, const std::string& precision = "auto") {
    return tiny_config({{"device", device}, {"precision", precision}});
  }
  static std::string refusal(const Config& config) {
    try {
      make_backend(config);
    } catch (const UserError& error) {
      return error.what();
    }
    return "";
  }
};

void expect_backend(const Config& config, const char* device, DType compute, bool on_host) {
  const auto ops = make_backend(config);
  EXPECT_NE(ops->describe().find(device), std::string::npos) << ops->describe();
  EXPECT_EQ(ops->compute_dtype(), compute);
  EXPECT_EQ(ops->statistics_dtype(), DType::f32);
  EXPECT_EQ(ops->memory().on_host(), on_host);
  const PlanOps plan = plan_backend(config);
  EXPECT_EQ(plan.compute_dtype(), compute);
  EXPECT_EQ(plan.logit_elements(), ops->logit_elements());
}

TEST_F(Backend, AutoTakesTheGpuAndBf16) {
  expect_backend(config("auto"), "simulated GPU", DType::bf16, false);
  expect_backend(config("cuda"), "simulated GPU", DType::bf16, false);
  expect_backend(config("cuda", "f32"), "simulated GPU", DType::f32, false);
  expect_backend(config("auto", "bf16"), "simulated GPU", DType::bf16, false);
  expect_backend(config("cpu"), "CPU", DType::f32, true);
}

TEST_F(Backend, AutoTakesTheCpuWhereNoGpuFits) {
  simt::simulated_device.count = 0;
  expect_backend(config("auto"), "CPU", DType::f32, true);
  simt::simulated_device = {};
  simt::simulated_device.major = 7;
  expect_backend(config("auto", "f32"), "CPU", DType::f32, true);
}

TEST_F(Backend, SaysWhyThereIsNoGpu) {
  simt::simulated_device.count = 0;
  EXPECT_EQ(refusal(config("cuda")),
            "device: \"cuda\", but no GPU was found (an error of the simulated runtime); use \"cpu\" or \"auto\"");
  simt::simulated_device = {};
  simt::simulated_device.major = 7;
  EXPECT_EQ(refusal(config("cuda")),
            "device: \"cuda\", but the simulated GPU (compute capability 7.0) is too old: gptmoe needs compute "
            "capability 8.0, an A100 or newer; use \"cpu\" or \"auto\"");
  simt::simulated_device.major = 12;
  simt::simulated_device.has_code = false;
  EXPECT_EQ(refusal(config("cuda")),
            "device: \"cuda\", but the simulated GPU (compute capability 12.0) is not among the GPUs this gptmoe was "
            "built for (build it with -DCMAKE_CUDA_ARCHITECTURES=120); use \"cpu\" or \"auto\"");
}

TEST_F(Backend, RefusesBf16OnTheCpu) {
  EXPECT_EQ(refusal(config("cpu", "bf16")), "precision: \"bf16\" needs a GPU; use \"f32\" or \"auto\" on the CPU");
  simt::simulated_device.count = 0;
  EXPECT_EQ(refusal(config("auto", "bf16")),
            "precision: \"bf16\" needs a GPU, but no GPU was found (an error of the simulated runtime); use \"f32\" or "
            "\"auto\" on the CPU");
}

}  // namespace
}  // namespace gptmoe::testing
