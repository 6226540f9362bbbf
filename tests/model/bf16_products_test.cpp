#include "model/bf16_curve.h"

namespace gptmoe::testing {
namespace {

TEST(Bf16Products, TwoHundredStepsStayWithinOnePercentOfF32) {
  expect_curves_within_one_percent_of_f32([] { return make_cpu_ops(1, DType::bf16); }, 16, 0.92);
}

TEST(Bf16Products, TheCurveOfDefaultIsThatOfF32) {
  expect_default_curve_close_to_f32([] { return make_cpu_ops(1, DType::bf16); });
}

}  // namespace
}  // namespace gptmoe::testing
