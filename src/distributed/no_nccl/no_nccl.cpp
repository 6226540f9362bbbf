// The functions of distributed/nccl for a program built without NCCL.
#include "base/check.h"
#include "distributed/nccl/nccl_communicator.h"

namespace gptmoe {

std::string why_no_nccl() {
  return "this gptmoe was built without NCCL; install it (Debian, Ubuntu: libnccl-dev) and build again";
}

std::unique_ptr<Communicator> make_nccl_communicator(World&, Ops&) { throw Failure(why_no_nccl()); }

}  // namespace gptmoe
