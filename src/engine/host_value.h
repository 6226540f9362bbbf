#pragma once
#include "base/memory.h"

namespace gptmoe {

// The one element of a statistics tensor as the host sees it.
inline double host_value(Memory& memory, const Tensor& x_1) {
  GPTMOE_CHECK(x_1.count() == 1, x_1.describe());
  return download_values(memory, x_1).front();
}

}  // namespace gptmoe
