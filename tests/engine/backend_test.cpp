// The CPU's backends; tests/simt tests the GPU's backends.
#include "engine/backend.h"

#include <gtest/gtest.h>

#include "support/model_fixture.h"

namespace gptmoe::testing {
namespace {

TEST(CpuBackend, PrecisionIsThatOfMatrixProducts) {
  const auto described = [](const char* precision) {
    return make_backend(tiny_config({{"device", "cpu"}, {"precision", precision}}))->describe();
  };
  EXPECT_NE(described("bf16").find(" bf16 products ("), std::string::npos) << described("bf16");
  for (const char* precision : {"f32", "auto"})
    EXPECT_EQ(described(precision).find("bf16"), std::string::npos) << described(precision);
}

}  // namespace
}  // namespace gptmoe::testing
