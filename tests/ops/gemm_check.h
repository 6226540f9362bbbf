#pragma once
// Compares matrix products with sums in double, for every kind of product in gemm.h, and checks guard words after every
// row.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <random>
#include <utility>
#include <vector>

namespace gptmoe::cpu_f32 {

// A row-major matrix with a stride larger than its width; the gap holds guard words.
struct GuardedMatrix {
  static constexpr float kGuard = 12345.0f;
  GuardedMatrix(int64_t rows_, int64_t columns_, unsigned seed)
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

struct ProductKind {
  bool a_transposed, b_transposed;
  const char* name() const { return a_transposed ? "tn" : b_transposed ? "nt" : "nn"; }
};

class GemmCheck {
 public:
  using Product = std::function<void(ProductKind kind, int64_t m, int64_t n, int64_t k, const GuardedMatrix& a,
                                     const GuardedMatrix& b, GuardedMatrix& c, bool add)>;
  // `as_multiplied` rounds an element in the way that `product` rounds it before multiplying.
  GemmCheck(Product product, float (*as_multiplied)(float))
      : product_(std::move(product)), as_multiplied_(as_multiplied) {}

  void all_kinds(int64_t m, int64_t n, int64_t k) const {
    for (const bool add : {false, true})
      for (const ProductKind kind : {ProductKind{false, false}, {false, true}, {true, false}}) one(kind, m, n, k, add);
  }

  void every_edge_of_a_tile() const {
    for (int64_t m = 1; m <= 34; ++m)
      for (const int64_t n : {1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 70}) all_kinds(m, n, 5);
    for (int64_t k = 1; k <= 66; ++k) all_kinds(13, 33, k);
  }

  void more_than_one_block_each_way() const {
    all_kinds(401, 37, 70);
    all_kinds(29, 1100, 70);
    all_kinds(29, 37, 1000);
    all_kinds(29, 100, 1000);
    all_kinds(64, 100, 1000);
    all_kinds(200, 530, 400);
  }

 private:
  void one(ProductKind kind, int64_t m, int64_t n, int64_t k, bool add) const {
    SCOPED_TRACE(::testing::Message() << m << "x" << n << "x" << k << " " << kind.name() << (add ? " +=" : " ="));
    GuardedMatrix a(kind.a_transposed ? k : m, kind.a_transposed ? m : k, 1),
        b(kind.b_transposed ? n : k, kind.b_transposed ? k : n, 2), c(m, n, 3), before = c;
    product_(kind, m, n, k, a, b, c, add);
    double worst = 0;
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = add ? before.at(i, j) : 0;
        for (int64_t p = 0; p < k; ++p)
          sum += double{as_multiplied_(kind.a_transposed ? a.at(p, i) : a.at(i, p))} *
                 as_multiplied_(kind.b_transposed ? b.at(j, p) : b.at(p, j));
        worst = std::max(worst, std::abs(sum - c.at(i, j)));
      }
      for (int64_t j = n; j < c.stride; ++j) ASSERT_EQ(c.at(i, j), GuardedMatrix::kGuard) << "after row " << i;
    }
    EXPECT_LT(worst, 1e-6 * (1 + std::sqrt(static_cast<double>(k)) * 4));
  }

  Product product_;
  float (*as_multiplied_)(float);
};

}  // namespace gptmoe::cpu_f32
