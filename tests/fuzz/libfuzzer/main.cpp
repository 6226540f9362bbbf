// libFuzzer's entry point for one target; GPTMOE_FUZZ_TARGET is a function in targets.h.
#include <cstddef>
#include <cstdint>

#include "fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gptmoe::fuzz::GPTMOE_FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
  return 0;
}
