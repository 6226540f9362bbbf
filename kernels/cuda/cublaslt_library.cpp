#include "kernels/cuda/cublaslt_library.h"

#include <dlfcn.h>

#include <string>

#include "base/check.h"

namespace gptmoe::cuda {
namespace {

// Looks in the system's search path, then in the folder of the library that this program was built against.
void* open_library() {
  const std::string name = "libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR);
  for (const std::string& file : {name, GPTMOE_CUDA_LIBRARIES "/" + name})
    if (void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  throw Failure(text("cannot load ", name, " (", dlerror(), "); install CUDA's cuBLAS ", CUBLAS_VER_MAJOR,
                     " or name its folder in LD_LIBRARY_PATH"));
}

}  // namespace

void* cublaslt_symbol(const char* name) {
  static void* const library = open_library();
  void* const address = dlsym(library, name);
  if (!address) throw Failure(text("cuBLASLt has no ", name, " (", dlerror(), ")"));
  return address;
}

}  // namespace gptmoe::cuda
