// The paper's models as configs/paper has them, against the parameter counts that it prints.
#include <gtest/gtest.h>

#include "train/instance.h"

namespace gptmoe::testing {
namespace {

struct Printed {
  const char* config;
  double total;   // billions
  double active;  // millions; 0: not printed
};
constexpr Printed kPrinted[] = {{"8c1", 1.96, 565},     {"8c2", 1.96, 764},     {"32c1", 1.96, 416},
                                {"32c2", 1.96, 466},    {"32c4", 1.96, 565},    {"8c1_0.56b", 0.56, 0},
                                {"8c1_7.33b", 7.33, 0}};

struct Counts {
  double total, active;
};

Counts counts(const std::string& name, const std::vector<std::string>& overrides = {}) {
  const Config config = load_config(GPTMOE_SOURCE_DIR "/configs/paper/" + name + ".json", overrides);
  const PlanOps ops(DType::bf16, DType::f32, 1 << 20, 0);
  const Instance instance(config, Purpose::forward, 1, 128, ops);
  return {static_cast<double>(instance.gpt().params().parameter_count()) / 1e9,
          static_cast<double>(instance.gpt().active_parameter_count()) / 1e6};
}

TEST(PaperConfigs, HaveThePapersParameters) {
  for (const Printed& printed : kPrinted) {
    for (const char* router : {"_topk", "_default"}) {
      SCOPED_TRACE(printed.config + std::string(router));
      const Counts counted = counts(printed.config + std::string(router));
      EXPECT_NEAR(counted.total / printed.total, 1, 0.01);
      if (printed.active > 0) {
        EXPECT_NEAR(counted.active / printed.active, 1, 0.02);
      }
    }
  }
}

// What docs/paper.md says of the difference: every printed active count, to the million.
TEST(PaperConfigs, ADenseLayerAQuarterAsWideGivesThePrintedActiveCountsToTheMillion) {
  for (const Printed& printed : kPrinted) {
    if (printed.active == 0) continue;
    SCOPED_TRACE(printed.config);
    EXPECT_NEAR(counts(printed.config + std::string("_topk"), {"model.intermediate_size=704"}).active, printed.active, 0.5);
  }
}

}  // namespace
}  // namespace gptmoe::testing
