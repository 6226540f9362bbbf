#pragma once
#include <cstdint>

namespace gptmoe {

// Bytes of physical memory that this process holds; -1 if the system does not say.
int64_t resident_bytes();

}  // namespace gptmoe
