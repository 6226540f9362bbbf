#pragma once
// The backends that golden_test.cpp runs on. Every test program that links golden_test.cpp defines its own list.
#include <vector>

#include "kernels/ops.h"

namespace gptmoe::testing {

struct GoldenBackend {
  const char* name;
  std::unique_ptr<Ops> (*make)();
  // Relative tolerances of losses and gradients, and of the parameters after ten steps. The expected values are stored
  // as floats.
  double tolerance, trained_tolerance;
};

std::vector<GoldenBackend> golden_backends();

}  // namespace gptmoe::testing
