// Compares the parameter counts of configs/paper with the counts in the paper.
#include <gtest/gtest.h>

#include "engine/engine.h"
#include "kernels/plan_ops.h"
#include "support/test_folders.h"

namespace gptmoe::testing {
namespace {

// In millions.
struct Counts {
  double total, active;
  double outside;  // all but the routed experts
};

Counts counts(const std::string& name) {
  const Config config = load_config(source_folder() + "/configs/paper/" + name + ".json");
  const Ops ops = make_plan_ops(DType::bf16, DType::f32, 1 << 20, 0);
  const Engine engine(config, Purpose::forward, 1, 128, ops);
  const ModelConfig& m = config.model;
  const auto total = static_cast<double>(engine.gpt().params().parameter_count());
  const auto routed = static_cast<double>(m.moe_layers() * m.num_experts * 3 * m.moe_intermediate_size * m.hidden_size);
  return {total / 1e6, static_cast<double>(engine.gpt().active_parameter_count()) / 1e6, (total - routed) / 1e6};
}

const std::vector<std::string> kRouters = {"_topk", "_default"};

TEST(PaperConfigs, HaveThePapersTotals) {
  for (const auto& [name, billions] : std::vector<std::pair<std::string, double>>{{"8c1", 1.96},
                                                                                  {"8c2", 1.96},
                                                                                  {"32c1", 1.96},
                                                                                  {"32c2", 1.96},
                                                                                  {"32c4", 1.96},
                                                                                  {"8c1_0.56b", 0.56},
                                                                                  {"8c1_7.33b", 7.33}})
    for (const std::string& router : kRouters)
      EXPECT_NEAR(counts(name + router).total / 1000, billions, 0.005) << name << router;
}

// The counts agree to the million with Table 1, and with the paper's text on the parameters outside the experts.
TEST(PaperConfigs, With32ExpertsHaveThePrintedActiveParameters) {
  for (const auto& [name, active] :
       std::vector<std::pair<std::string, double>>{{"32c1", 416}, {"32c2", 466}, {"32c4", 565}})
    for (const std::string& router : kRouters) {
      EXPECT_NEAR(counts(name + router).active, active, 0.5) << name << router;
      EXPECT_NEAR(counts(name + router).outside, 366, 0.5) << name << router;
    }
}

// For its 8-expert models, Table 1 adds the active experts to 366 M, which is what a 32-expert model has outside its
// experts. The true counts are higher: the dense first layer is as wide as an expert, and these experts are wider.
TEST(PaperConfigs, With8ExpertsHaveMoreThanThePrintedActiveParameters) {
  const double outside_of_32 = counts("32c1_topk").outside;
  for (const auto& [name, printed, counted] :
       std::vector<std::tuple<std::string, double, double>>{{"8c1", 565, 571}, {"8c2", 764, 770}})
    for (const std::string& router : kRouters) {
      const Counts own = counts(name + router);
      EXPECT_NEAR(own.active, counted, 0.5) << name << router;
      EXPECT_NEAR(own.active - own.outside + outside_of_32, printed, 0.5) << name << router;
    }
}

}  // namespace
}  // namespace gptmoe::testing
