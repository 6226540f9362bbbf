#pragma once
// The backends that golden_test.cpp runs on: each program with it says which.
#include <vector>

#include "kernels/ops.h"

namespace gptmoe::testing {

struct GoldenBackend {
  const char* name;
  std::unique_ptr<Ops> (*make)();
  // Relative, of losses and gradients and of what ten steps lead to; the expected values are stored as floats.
  double tolerance, trained_tolerance;
};

std::vector<GoldenBackend> golden_backends();

}  // namespace gptmoe::testing
