#include "distributed/nccl/nccl_check.h"

#include <string_view>

#include "base/check.h"

namespace gptmoe {

void check_nccl(ncclResult_t status, ncclComm_t communicator, const char* what, const char* file, int line) {
  if (status == ncclSuccess) return;
  const std::string_view path = file;
  const std::string_view last = NCCL(ncclGetLastError)(communicator);
  throw DeviceError(text("NCCL: ", what, " (", path.substr(path.rfind('/') + 1), ":", line,
                         "): ", NCCL(ncclGetErrorString)(status), last.empty() ? "" : ": ", last,
                         "; NCCL_DEBUG=INFO in the environment makes it say more"));
}

}  // namespace gptmoe
