#include "analysis/default_error.h"

#include <gtest/gtest.h>

#include <cmath>

#include "analysis/analysis_fixture.h"

namespace gptmoe::testing {
namespace {

// Two tokens, two experts, C = 2. Both tokens prefer expert 0.
TEST(DefaultError, AveragesOverTokensThatChoseTheExpertAndOverTheOthers) {
  Held<int64_t> offsets({0, 2, 4}, {3});
  Held<int32_t> slots({0, 2, 1, 3}, {4});  // token * 2 + the expert's position among the token's two
  Held<int32_t> expert_ids({0, 1, 0, 1}, {2, 2});
  Held<float> rows({3, 4, 0, 2, 1, 0, 0, 5}, {4, 2});
  const Routing routing = {.expert_ids_NK = expert_ids.tensor, .offsets_E1 = offsets.tensor, .slots_R = slots.tensor};
  const std::vector<Table> defaults = {{{0, 0}, {1, 0}}, {{0, 2}, {0, 5}}};
  DefaultError error(host_memory(), defaults, 1);
  error.forward(routing, rows.tensor);
  error.forward(routing, rows.tensor);

  const ErrorMeans chosen = error.of_chosen(), others = error.of_others();
  EXPECT_EQ(chosen.error[0][0], 3.5);  // mean of |(3,4)| and |(0,2)|
  EXPECT_EQ(chosen.size[0][0], 3.5);
  EXPECT_TRUE(std::isnan(chosen.error[0][1]));
  EXPECT_TRUE(std::isnan(others.error[0][0]));
  EXPECT_DOUBLE_EQ(others.error[0][1], std::sqrt(26.0) / 2);  // mean of 0 and |(-1,5)|
  EXPECT_EQ(others.size[0][1], 3);
  EXPECT_DOUBLE_EQ(chosen.error[1][0], std::sqrt(13.0) / 2);
  EXPECT_DOUBLE_EQ(others.error[1][1], std::sqrt(26.0) / 2);
}

}  // namespace
}  // namespace gptmoe::testing
