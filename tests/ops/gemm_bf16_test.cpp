// Matrix products of operands rounded to bf16, with every kernel that this machine can run.
#include "kernels/cpu/gemm_bf16.h"

#include <cctype>
#include <limits>
#include <string>

#include "base/bf16.h"
#include "ops/gemm_check.h"

namespace gptmoe::cpu_f32 {
namespace {

class Bf16Gemm : public ::testing::TestWithParam<Bf16Kernel> {
 protected:
  static void multiply(ProductKind kind, int64_t m, int64_t n, int64_t k, const GuardedMatrix& a,
                       const GuardedMatrix& b, GuardedMatrix& c, bool add) {
    const auto row = [](const GuardedMatrix& x, bool transposed) { return transposed ? 1 : x.stride; };
    const auto column = [](const GuardedMatrix& x, bool transposed) { return transposed ? x.stride : 1; };
    gemm_bf16(GetParam(), m, n, k, a.values.data(), row(a, kind.a_transposed), column(a, kind.a_transposed),
              b.values.data(), row(b, kind.b_transposed), column(b, kind.b_transposed), c.values.data(), c.stride, add);
  }
  const GemmCheck check_{multiply, [](float x) { return bf16_value(bf16_bits(x)); }};
};

TEST_P(Bf16Gemm, EveryEdgeOfATile) { check_.every_edge_of_a_tile(); }

TEST_P(Bf16Gemm, MoreThanOneBlockEachWay) { check_.more_than_one_block_each_way(); }

TEST_P(Bf16Gemm, NonfiniteElementsAffectOnlyTheirOwnRow) {
  constexpr int64_t kSize = 33;
  GuardedMatrix a(kSize, kSize, 1), b(kSize, kSize, 2), c(kSize, kSize, 3);
  for (int64_t j = 0; j < kSize; ++j) b.at(4, j) = 1;
  a.at(1, 4) = std::numeric_limits<float>::quiet_NaN();
  a.at(20, 4) = std::numeric_limits<float>::infinity();
  a.at(32, 4) = std::numeric_limits<float>::max();  // rounds to infinity in bf16
  multiply({false, false}, kSize, kSize, kSize, a, b, c, false);
  for (int64_t i = 0; i < kSize; ++i)
    for (int64_t j = 0; j < kSize; ++j) {
      if (i == 1)
        EXPECT_TRUE(std::isnan(c.at(i, j))) << j;
      else
        EXPECT_EQ(std::isinf(c.at(i, j)), i == 20 || i == 32) << i << ", " << j;
    }
}

INSTANTIATE_TEST_SUITE_P(Kernels, Bf16Gemm, ::testing::ValuesIn(bf16_kernels().begin(), bf16_kernels().end()),
                         [](const auto& info) {
                           std::string name;
                           for (const char* c = info.param.name; *c; ++c)
                             if (std::isalnum(static_cast<unsigned char>(*c))) name += *c;
                           return name;
                         });

}  // namespace
}  // namespace gptmoe::cpu_f32
