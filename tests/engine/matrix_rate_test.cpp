#include "engine/matrix_rate.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/plan_ops.h"

namespace gptmoe {
namespace {

TEST(MatrixRate, OfAShortRunIsMeasuredWithLittleWork) {
  const auto ops = make_cpu_ops(1);
  FlopCounter counter;
  Ops observed = ops->observed_by(counter);
  EXPECT_GT(measure_matrix_rate(observed, 1e6), 0);
  EXPECT_LE(counter.flops(), 4 * std::pow(256, 3)) << "two products of the smallest matrices";
}

}  // namespace
}  // namespace gptmoe
