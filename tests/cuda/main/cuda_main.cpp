// Runs the CUDA backend's tests on this machine's GPU. If there is none, prints why and exits with the status that test
// drivers report as "not run".
#include <gtest/gtest.h>

#include <cstdio>

#include "cuda/worst_errors.h"
#include "kernels/ops.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (const std::string why = gptmoe::why_no_cuda(); !why.empty()) {
    std::printf("not run: %s\n", why.c_str());
    return 77;
  }
  const int status = RUN_ALL_TESTS();
  gptmoe::print_worst_errors();
  return status;
}
