#pragma once
// Loads NCCL when a communicator is made. NCCL takes hundreds of megabytes, which a run on one rank does not need.
#include <nccl.h>

namespace gptmoe {

// The address of a function of the library. Throws Failure if the library is not found or lacks the function.
void* nccl_symbol(const char* name);

}  // namespace gptmoe

// NCCL(ncclAllReduce)(...) calls ncclAllReduce(...).
#define NCCL(function)                                                                                   \
  ([] {                                                                                                  \
    static const auto address = reinterpret_cast<decltype(&function)>(::gptmoe::nccl_symbol(#function)); \
    return address;                                                                                      \
  }())
