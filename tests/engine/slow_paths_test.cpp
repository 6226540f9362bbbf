// On a CPU. (tests/simt has the sizes that a GPU runs slowly.)
#include "engine/slow_paths.h"

#include "engine/backend.h"
#include "support/run_fixture.h"

namespace gptmoe::testing {
namespace {

TEST(SlowPaths, AdvisesBf16OnlyWhereTheCpuIsFasterAndTheConfigLeavesItOpen) {
  const auto lines = [](const char* precision, bool begun = false) {
    const Config config = tiny_config({{"device", "cpu"}, {"precision", precision}});
    return slow_paths(config, *make_backend(config), begun).size();
  };
  EXPECT_EQ(lines("auto"), cpu_multiplies_bf16_faster() ? 1u : 0u);
  EXPECT_EQ(lines("auto", true), 0u) << "a run that has begun keeps its precision";
  EXPECT_EQ(lines("f32"), 0u);
  EXPECT_EQ(lines("bf16"), 0u);
}

}  // namespace
}  // namespace gptmoe::testing
