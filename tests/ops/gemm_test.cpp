// The matrix products of gemm.h, with the library that this program is linked with.
#include "kernels/cpu/gemm.h"

#include "ops/gemm_check.h"

namespace gptmoe::cpu_f32 {
namespace {

GemmCheck check() {
  gemm_initialize();
  return GemmCheck(
      [](ProductKind kind, int64_t m, int64_t n, int64_t k, const GuardedMatrix& a, const GuardedMatrix& b,
         GuardedMatrix& c, bool add) {
        const auto product = kind.a_transposed ? gemm_tn : kind.b_transposed ? gemm_nt : gemm_nn;
        product(Operands::real, m, n, k, a.values.data(), a.stride, b.values.data(), b.stride, c.values.data(),
                c.stride, add);
      },
      [](float x) { return x; });
}

TEST(Gemm, EveryEdgeOfATile) { check().every_edge_of_a_tile(); }

TEST(Gemm, MoreThanOneBlockEachWay) { check().more_than_one_block_each_way(); }

TEST(Gemm, NothingToMultiply) {
  check().all_kinds(5, 7, 0);
  check().all_kinds(0, 7, 3);
  check().all_kinds(5, 0, 3);
}

}  // namespace
}  // namespace gptmoe::cpu_f32
