#include "distributed/nccl/nccl_library.h"

#include <dlfcn.h>

#include <string>

#include "base/check.h"

namespace gptmoe {
namespace {

constexpr const char* kName = "libnccl.so.2";

// Looks in the system's search path, then in the folder of the library that this program was built against.
void* open_library() {
  for (const std::string& file : {std::string(kName), std::string(GPTMOE_NCCL_LIBRARIES "/") + kName})
    if (void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  throw Failure(text("cannot load ", kName, " (", dlerror(),
                     "), which GPUs need to exchange data; install NCCL (Debian, Ubuntu: libnccl2) or name its "
                     "folder in LD_LIBRARY_PATH"));
}

}  // namespace

void* nccl_symbol(const char* name) {
  static void* const library = open_library();
  void* const address = dlsym(library, name);
  if (!address) throw Failure(text("NCCL has no ", name, " (", dlerror(), "); gptmoe needs NCCL 2.14 or later"));
  return address;
}

}  // namespace gptmoe
