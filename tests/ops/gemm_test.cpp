#include "kernels/cpu/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace gptmoe::cpu_f32 {
namespace {

constexpr float kGuard = 12345.0f;

// Row-major with a longer leading dimension than it needs.
struct Matrix {
  Matrix(int64_t rows_, int64_t columns_, unsigned seed)
      : rows(rows_), columns(columns_), stride(columns_ + 3), values(static_cast<size_t>(rows * stride), kGuard) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j) at(i, j) = uniform(random);
  }
  float& at(int64_t i, int64_t j) { return values[static_cast<size_t>(i * stride + j)]; }

  int64_t rows, columns, stride;
  std::vector<float> values;
};

void check(int64_t m, int64_t n, int64_t k, bool a_transposed, bool b_transposed, bool add) {
  SCOPED_TRACE(::testing::Message() << m << "x" << n << "x" << k
                                    << (a_transposed   ? " tn"
                                        : b_transposed ? " nt"
                                                       : " nn")
                                    << (add ? " +=" : " ="));
  Matrix a(a_transposed ? k : m, a_transposed ? m : k, 1), b(b_transposed ? n : k, b_transposed ? k : n, 2), c(m, n, 3);
  Matrix before = c;
  const auto product = a_transposed ? gemm_tn : b_transposed ? gemm_nt : gemm_nn;
  product(m, n, k, a.values.data(), a.stride, b.values.data(), b.stride, c.values.data(), c.stride, add);
  double worst = 0;
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = add ? before.at(i, j) : 0;
      for (int64_t p = 0; p < k; ++p)
        sum += double{a_transposed ? a.at(p, i) : a.at(i, p)} * (b_transposed ? b.at(j, p) : b.at(p, j));
      worst = std::max(worst, std::abs(sum - c.at(i, j)));
    }
    for (int64_t j = n; j < c.stride; ++j) ASSERT_EQ(c.at(i, j), kGuard) << "behind row " << i;
  }
  EXPECT_LT(worst, 1e-6 * (1 + std::sqrt(static_cast<double>(k)) * 4));
}

void check_kinds(int64_t m, int64_t n, int64_t k) {
  for (const bool add : {false, true}) {
    check(m, n, k, false, false, add);
    check(m, n, k, false, true, add);
    check(m, n, k, true, false, add);
  }
}

TEST(Gemm, EveryEdgeOfATile) {
  gemm_initialize();
  for (int64_t m = 1; m <= 26; ++m)
    for (const int64_t n : {1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 70}) check_kinds(m, n, 5);
  for (int64_t k = 1; k <= 34; ++k) check_kinds(13, 33, k);
}

TEST(Gemm, MoreThanOneBlockEachWay) {
  gemm_initialize();
  check_kinds(401, 37, 70);
  check_kinds(29, 1100, 70);
  check_kinds(29, 37, 1000);
  check_kinds(200, 530, 400);
}

TEST(Gemm, NothingToMultiply) {
  gemm_initialize();
  check_kinds(5, 7, 0);
  check_kinds(0, 7, 3);
  check_kinds(5, 0, 3);
}

}  // namespace
}  // namespace gptmoe::cpu_f32
