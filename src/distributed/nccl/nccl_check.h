#pragma once
// Turns errors of NCCL into DeviceError.
#include "distributed/nccl/nccl_library.h"

namespace gptmoe {

// Throws DeviceError with the failed call, its file and line, and NCCL's message.
void check_nccl(ncclResult_t status, ncclComm_t communicator, const char* what, const char* file, int line);

}  // namespace gptmoe

// Checks a call on `communicator`, which may be null.
#define NCCL_CHECK(communicator, expression) \
  ::gptmoe::check_nccl((expression), (communicator), #expression, __FILE__, __LINE__)
