#pragma once
#include <string>

namespace gptmoe {

// How this program was built. src/train/build_info.cmake writes the texts at every build; they are static.
struct BuildInfo {
  const char* version;
  const char* commit;    // git commit, with "-dirty" if files differed from it; "unknown" outside a repository
  const char* type;      // CMake's build type
  const char* products;  // the library that multiplies matrices on the CPU
  const char* cuda;      // the toolkit's version; "" in builds without CUDA
  const char* nccl;      // version of the header; "" in builds without NCCL
  const char* mpi;       // version of the MPI standard; "" in builds without MPI
  const char* compiler;
  bool native;  // tuned for the CPU it was built on
};

const BuildInfo& build_info();

// The first lines that every program prints for --version: its name and version, then one line each for commit, build
// and compiler.
std::string version_text(const std::string& program);

}  // namespace gptmoe
