#pragma once
#include <cstdlib>
#include <string_view>

namespace simt {

// Whether the variable GPTMOE_SIMULATED_FAULT names this fault of the simulated GPU:
//   breaks    the GPU breaks after two calls
//   wrong     one element of each cuBLASLt product is wrong, a different one each time
//   refuses   cuBLASLt supports no product
// The rehearsal of tools/gpu_check.sh plants faults too.
inline bool has_fault(std::string_view name) {
  const char* const planted = std::getenv("GPTMOE_SIMULATED_FAULT");
  return planted && planted == name;
}

}  // namespace simt
