// Which backend "device" and "precision" select, and the errors where the selection is impossible.
#include "engine/backend.h"

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include "engine/slow_paths.h"
#include "simt/simulated_device.h"
#include "support/model_fixture.h"

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
  const Ops plan = plan_backend(config);
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

TEST_F(Backend, AutoTakesTheCpuIfNoGpuIsSuitable) {
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
  simt::simulated_device.driver_version = 11080;
  EXPECT_EQ(refusal(config("cuda")),
            text("device: \"cuda\", but the GPU's driver is for CUDA 11.8, older than this gptmoe's ",
                 CUDART_VERSION / 1000, ".", CUDART_VERSION % 1000 / 10, " (update it); use \"cpu\" or \"auto\""));
  simt::simulated_device.driver_version = 0;
  EXPECT_EQ(refusal(config("cuda")),
            "device: \"cuda\", but no GPU and no GPU driver were found; use \"cpu\" or \"auto\"");
  simt::simulated_device = {};
  simt::simulated_device.major = 12;
  simt::simulated_device.has_code = false;
  EXPECT_EQ(refusal(config("cuda")),
            "device: \"cuda\", but the simulated GPU (compute capability 12.0) is not among the GPUs this gptmoe was "
            "built for (build it with -DCMAKE_CUDA_ARCHITECTURES=120); use \"cpu\" or \"auto\"");
}

TEST_F(Backend, HoppersKernelsNeedAHopper) {
  EXPECT_EQ(why_no_hopper(), "");
  make_cuda_ops(DType::bf16, {.hopper = true});
  simt::simulated_device.major = 10;
  EXPECT_EQ(why_no_hopper(),
            "the simulated GPU (compute capability 10.0) is not a Hopper GPU, which has compute capability 9.0");
  EXPECT_THROW(make_cuda_ops(DType::bf16, {.hopper = true}), BugError);
  simt::simulated_device.count = 0;
  EXPECT_EQ(why_no_hopper(), why_no_cuda());
}

TEST_F(Backend, RefusesWideHeadsIfSharedMemoryIsShort) {
  Config wide = config("cuda");
  wide.model.head_dim = 256;
  make_backend(wide);
  simt::simulated_device.shared_bytes = 99 << 10;
  EXPECT_EQ(
      refusal(wide),
      "model.head_dim: 256 is more than the 128 that the GPU backend supports; lower it, or set device to \"cpu\"");
  wide.model.head_dim = 128;
  make_backend(wide);
}

TEST_F(Backend, RefusesBf16OnTheCpuInPlaceOfAGpu) {
  EXPECT_EQ(make_backend(config("cpu", "bf16"))->compute_dtype(), DType::f32);
  simt::simulated_device.count = 0;
  EXPECT_EQ(refusal(config("auto", "bf16")),
            "precision: \"bf16\" with device \"auto\" needs a GPU, but no GPU was found (an error of the simulated "
            "runtime); set device "
            "to \"cpu\" for bf16 products on the CPU, or precision to \"auto\"");
}

TEST_F(Backend, NamesSlowPaths) {
  const auto slow = [](nlohmann::json model, const char* precision = "auto") {
    const Config config = tiny_config({{"device", "cuda"}, {"precision", precision}, {"model", std::move(model)}});
    return slow_paths(config, *make_backend(config));
  };
  nlohmann::json fast = {{"vocab_size", 64},
                         {"hidden_size", 64},
                         {"num_attention_heads", 1},
                         {"intermediate_size", 24},
                         {"moe_intermediate_size", 16}};
  EXPECT_EQ(slow(fast), std::vector<std::string>{});
  fast["vocab_size"] = 50257;
  fast["intermediate_size"] = 25;  // not used: no layer is dense
  EXPECT_EQ(slow(fast), std::vector<std::string>{"model.vocab_size 50257: products and copies are slower than with a "
                                                 "multiple of 8, such as 50264"});
  fast["first_k_dense_replace"] = 1;
  EXPECT_EQ(slow(fast).size(), 2u);
  EXPECT_EQ(slow(fast, "f32").size(), 0u);
  for (const int64_t head : {20, 136}) {
    const auto lines = slow({{"vocab_size", 64},
                             {"hidden_size", 64},
                             {"num_attention_heads", 2},
                             {"head_dim", head},
                             {"moe_intermediate_size", 16}});
    EXPECT_EQ(lines,
              std::vector<std::string>{text("model.head_dim ", head,
                                            ": attention runs without tensor cores, which need multiples of 8 up to "
                                            "128; 64 and 128 are best")});
  }
}

}  // namespace
}  // namespace gptmoe::testing
