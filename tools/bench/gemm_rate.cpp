// Prints the GFLOP/s that one thread reaches with the matrix library that this program was built with
// (tools/bench/gemm_rates.sh), as a line of four numbers: a large product, a linear layer of width 256 on 2048 tokens,
// an expert of that width on 256 tokens, and one of width 128 on 32 tokens.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "kernels/cpu/gemm.h"

using namespace gptmoe::cpu_f32;

int main() {
  struct Shape {
    int64_t m, n, k;
    int times;
  };
  constexpr Shape kShapes[] = {{1024, 1024, 1024, 6}, {2048, 768, 256, 16}, {256, 1408, 256, 60}, {32, 512, 128, 2000}};
  gemm_initialize();
  std::printf("%s:", gemm_library(Operands::real).c_str());
  for (const auto& [m, n, k, times] : kShapes) {
    const std::vector<float> a(m * k, 0.5f), b(n * k, 0.25f);
    std::vector<float> c(m * n);
    double fastest = 1e9;
    for (int i = 0; i < times; ++i) {
      const auto start = std::chrono::steady_clock::now();
      gemm_nt(Operands::real, m, n, k, a.data(), k, b.data(), k, c.data(), n, false);
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
      fastest = std::min(fastest, taken.count());
    }
    std::printf(" %.1f", 2.0 * m * n * k / fastest * 1e-9);
  }
  std::printf("\n");
}
