// Sizes that the GPU backend refuses. They are found from the config, without a device.
#include "engine/cuda_shapes.h"

#include "engine/backend.h"
#include "support/error_message.h"
#include "support/model_fixture.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

std::string refusal(const json& model, const json& train = json::object()) {
  const Config config = tiny_config({{"device", "cuda"}, {"model", model}, {"train", train}});
  const std::string line = message<UserError>([&] { plan_backend(config); });
  Config on_cpu = config;
  on_cpu.device = "cpu";
  plan_backend(on_cpu);
  return line;
}

TEST(CudaShapes, RefusalsNameThePlaceTheValueAndTheLimit) {
  plan_backend(tiny_config({{"device", "cuda"}, {"model", {{"head_dim", 256}}}}));
  EXPECT_EQ(
      refusal({{"head_dim", 258}}),
      "model.head_dim: 258 is more than the 256 that the GPU backend supports; lower it, or set device to \"cpu\"");
  EXPECT_EQ(refusal({{"num_experts", 3073}}),
            "model.num_experts: 3073 is more than the 3072 that the GPU backend supports; lower it, or set device to "
            "\"cpu\"");
  EXPECT_EQ(refusal({{"num_experts", 3072}, {"hidden_size", 6144}, {"num_attention_heads", 32}}),
            "model.num_experts: 3072 (plus one) x hidden_size 6144 (plus one) is more than the 16777216 that the GPU "
            "backend supports; "
            "lower it, or set device to \"cpu\"");
  EXPECT_EQ(refusal({{"num_attention_heads", 6}}, {{"sequence_length", 1 << 22}}),
            "train.sequence_length: 4194304 x num_attention_heads 6 is more than the 16777216 that the GPU backend "
            "supports; lower "
            "it, or set device to \"cpu\"");
  EXPECT_EQ(refusal({{"num_experts", 0}}, {{"sequence_length", 1 << 20}, {"micro_batch_size", 4}}),
            "train.micro_batch_size: 4 x sequence_length 1048576 is more than the 3145728 that the GPU backend "
            "supports; lower it, or "
            "set device to \"cpu\"");
}

}  // namespace
}  // namespace gptmoe::testing
