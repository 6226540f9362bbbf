#include "predict/kernel_estimate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "kernels/plan_ops.h"
#include "op_cases/case_cost.h"
#include "predict/gpu_times.h"
#include "predict/tile_product.h"

namespace gptmoe {
namespace {

// Visits each call of an op.
class Visitor final : public OpObserver {
 public:
  explicit Visitor(std::function<void(const OpCall&)> visit) : visit_(std::move(visit)) {}
  void before(const OpCall& call) override { visit_(call); }

 private:
  std::function<void(const OpCall&)> visit_;
};

Tensor tensor(DType dtype, std::initializer_list<int64_t> sizes) { return Tensor(nullptr, dtype, sizes); }

std::vector<KernelEstimate> estimate(const std::function<void(Ops&)>& call, const Gpu& gpu = known_gpus().front()) {
  std::vector<KernelEstimate> kernels;
  Visitor visitor([&](const OpCall& each) { kernels = kernels_of(each, gpu, 1); });
  Ops ops = make_plan_ops(DType::bf16, DType::f32, 1 << 20, 0).observed_by(visitor);
  call(ops);
  return kernels;
}

// A GPU with simple numbers.
Gpu simple_gpu() {
  Gpu gpu = known_gpus().front();
  gpu.multiprocessors = 2;
  gpu.product_flops = 100e9;
  gpu.mma_share = 0.5;
  gpu.copy_bytes = 1e9;
  gpu.trip = 1e-6;
  return gpu;
}

TEST(KernelEstimates, AStreamTakesItsBytesAtNinetyPercentOfACopy) {
  const Tensor x = tensor(DType::bf16, {1000, 1000});
  const auto kernels = estimate([&](Ops& ops) { ops.residual_forward(x, x, x); }, simple_gpu());
  ASSERT_EQ(kernels.size(), 1u);
  EXPECT_EQ(kernels[0].bytes, 3 * 2e6);
  EXPECT_NEAR(kernels[0].seconds, 6e6 / 0.9e9, 1e-12);
}

TEST(KernelEstimates, ASmallKernelTakesAsLongAsThreeLoads) {
  const Tensor x = tensor(DType::f32, {4});
  const auto kernels = estimate([&](Ops& ops) { ops.zero(x); }, simple_gpu());
  ASSERT_EQ(kernels.size(), 1u);
  EXPECT_NEAR(kernels[0].seconds, 3e-6, 1e-15);
}

// A graph may keep the sizes of a memset in 32 bits.
TEST(KernelEstimates, ZeroingTakesAMemsetForEachTwoGibibytes) {
  const auto kernels = estimate([&](Ops& ops) { ops.zero(tensor(DType::f32, {(int64_t{1} << 30) + 1})); });
  ASSERT_EQ(kernels.size(), 1u);
  EXPECT_EQ(kernels[0].launches, 3);
}

// 8 experts of 128 rows each, 256 wide: 16 tiles on 2 multiprocessors, two on each at a time: 4 rounds of 4 tiles. A
// tile of depth 1024 has 2 * 128 * 128 * 1024 operations, and its epilogue takes as long as a depth of 256.
TEST(KernelEstimates, ExpertsProductsRunInRoundsOfTiles) {
  const Gpu gpu = simple_gpu();
  const double tile_flops = 2.0 * 128 * 128 * (1024 + 256), rate = kExpertMainLoop * 0.5 * 100e9;
  const double seconds = expert_product_seconds(gpu, {8 * 128, 256, 1024}, 256, true);
  EXPECT_NEAR(seconds, 4 * 4 * tile_flops / rate, 1e-9);
  // One more row needs two more tiles, which begin a fifth round.
  EXPECT_NEAR(expert_product_seconds(gpu, {8 * 128 + 1, 256, 1024}, 256, true), 5 * 4 * tile_flops / rate, 1e-9);
}

Gpu with_hopper_kernels(Gpu gpu) {
  gpu.hopper_kernels = true;
  return gpu;
}

// 8 experts of 128 rows each, 512 wide: 16 tiles, one on each of 2 multiprocessors at a time: 8 rounds.
TEST(KernelEstimates, HoppersProductsRunInRoundsOfLargerTiles) {
  const Gpu gpu = simple_gpu();
  const double tile_flops = 2.0 * 128 * 256 * (1024 + 192), rate = kHopperMainLoop * 100e9;
  EXPECT_NEAR(hopper_product_seconds(gpu, {8 * 128, 512, 1024}, kWideHopperTiles, 192), 8 * 2 * tile_flops / rate,
              1e-9);
  EXPECT_EQ(kWideHopperTiles.describe(), "128 x 256 x 64, 4 stages, 192 KiB");
  EXPECT_EQ(kNarrowHopperTiles.describe(), "128 x 128 x 64, 6 stages, 192 KiB");
}

// Hopper's kernels take some shapes, on a GPU that runs them.
TEST(KernelEstimates, HoppersKernelsAreExpectedWhereTheyRun) {
  const Gpu portable = known_gpus().front(), hopper = with_hopper_kernels(portable);
  const auto tiles_of_product = [](int64_t in, const Gpu& gpu) {
    return estimate(
               [&](Ops& ops) {
                 ops.grouped_linear_forward(tensor(DType::bf16, {256, 64}), tensor(DType::bf16, {256, in}),
                                            tensor(DType::bf16, {2, 64, in}), tensor(DType::i64, {3}));
               },
               gpu)
        .at(0)
        .tiles;
  };
  EXPECT_EQ(tiles_of_product(64, hopper), kNarrowHopperTiles.describe()) << "64 columns";
  const std::string of_swiglu =
      estimate(
          [&](Ops& ops) {
            ops.grouped_swiglu_forward(tensor(DType::bf16, {256, 256}), tensor(DType::bf16, {256, 512}),
                                       tensor(DType::bf16, {256, 64}), tensor(DType::bf16, {2, 512, 64}),
                                       tensor(DType::i64, {3}));
          },
          hopper)
          .at(0)
          .tiles;
  EXPECT_EQ(of_swiglu, kNarrowHopperTiles.describe()) << "whatever the width";
  EXPECT_EQ(tiles_of_product(64, portable), "");
  EXPECT_EQ(tiles_of_product(12, hopper), "");
  const auto tiles_of_attention = [](int64_t D, const Gpu& gpu) {
    return estimate(
               [&](Ops& ops) {
                 ops.attention_forward(tensor(DType::bf16, {1, 64, 2, D}), tensor(DType::f32, {1, 2, 64}),
                                       tensor(DType::bf16, {1, 64, 6, D}));
               },
               gpu)
        .at(0)
        .tiles;
  };
  EXPECT_EQ(tiles_of_attention(64, hopper), "128 queries x 128 keys, 4 stages, 145 KiB");
  EXPECT_EQ(tiles_of_attention(128, hopper), "128 queries x 128 keys, 2 stages, 161 KiB");
  EXPECT_EQ(tiles_of_attention(64, portable), "");
  EXPECT_EQ(tiles_of_attention(32, hopper), "");
}

TEST(KernelEstimates, ADeviceSaysWhetherItRunsHoppersKernels) {
  EXPECT_FALSE(gpu_described("NVIDIA H200, bf16")->hopper_kernels);
  EXPECT_TRUE(gpu_described("NVIDIA H200, bf16, Hopper's kernels")->hopper_kernels);
  EXPECT_EQ(gpu_described("NVIDIA H200, bf16, Hopper's kernels")->name, std::string("h200"));
}

// A gradient of few tiles over a long sum is cut into parts.
TEST(KernelEstimates, TheLibraryCutsLongSumsOfFewTiles) {
  const Gpu& gpu = known_gpus().front();
  const double one_part = 2.0 * 128 * 256 * (65536 + 128) * 132 / (kLibraryMainLoop * gpu.product_flops);
  EXPECT_LT(library_product_seconds(gpu, {1024, 1024, 65536}, true), one_part / 2);
}

// 136 tiles leave the second round nearly empty, but two parts would need 34 MiB for their sums.
TEST(KernelEstimates, TheLibrarySumsPartsInItsWorkspaceOnly) {
  Gpu gpu = known_gpus().front();
  gpu.copy_bytes = 1e30;
  const double one_round = 2.0 * 128 * 256 * 65536 * 132 / (kLibraryMainLoop * gpu.product_flops);
  EXPECT_GT(library_product_seconds(gpu, {2176, 2048, 65536}, true), 1.6 * one_round);
}

// The model needs four products of attention's backward; the two kernels compute seven.
TEST(KernelEstimates, AttentionsBackwardComputesSevenProducts) {
  const Tensor qkv = tensor(DType::bf16, {2, 64, 12, 64}), out = tensor(DType::bf16, {2, 64, 4, 64});
  const auto kernels = estimate([&](Ops& ops) {
    ops.attention_backward(qkv, out, out, tensor(DType::f32, {2, 4, 64}), qkv);
  });
  ASSERT_EQ(kernels.size(), 3u);
  const double product = 2.0 * 2 * 4 * 64 * 64 * 65 / 2;
  EXPECT_EQ(kernels[1].flops, 4 * product);
  EXPECT_EQ(kernels[2].flops, 3 * product);
}

// FlashAttention-2's published rates of the backward pass on an H100 with heads of 64 are 264 TFLOP/s for 2,048
// positions and 291 for 16,384; ours are assumed to be 5 % less.
TEST(KernelEstimates, AttentionsBackwardIsAsFastAsPublished) {
  struct Published {
    int64_t T;
    double rate;
  };
  for (const Published at : {Published{2048, 264e12}, {16384, 291e12}}) {
    const int64_t T = at.T;
    const Tensor qkv = tensor(DType::bf16, {1, T, 96, 64}), out = tensor(DType::bf16, {1, T, 32, 64});
    const auto kernels = estimate(
        [&](Ops& ops) {
          ops.attention_backward(qkv, out, out, tensor(DType::f32, {1, 32, T}), qkv);
        },
        gpu_named("h100"));
    for (size_t i : {1, 2}) EXPECT_NEAR(kernels[i].flops / kernels[i].seconds / at.rate, 0.95, 0.03) << T;
  }
}

// Each chunk of logits has three products and one pass over the logits, which reads and writes them.
TEST(KernelEstimates, TheHeadRunsChunkByChunk) {
  const int64_t N = 1024, C = 64, V = 5000, M = 256;
  const auto kernels = estimate([&](Ops& ops) {
    ops.lm_head_loss(tensor(DType::f32, {N}), Tensor{}, tensor(DType::bf16, {N, C}), tensor(DType::f32, {V, C}),
                     tensor(DType::bf16, {N, C}), tensor(DType::bf16, {V, C}), tensor(DType::i32, {N}), 1.0,
                     tensor(DType::bf16, {M, V}));
  });
  ASSERT_EQ(kernels.size(), 4u);
  const double product = 2.0 * N * C * V;
  for (size_t i : {0, 2, 3}) {
    EXPECT_EQ(kernels[i].launches, N / M) << kernels[i].name;
    EXPECT_NEAR(kernels[i].flops, product, 1) << kernels[i].name;
  }
  EXPECT_EQ(kernels[1].bytes, 2.0 * 2 * N * V);
}

// Tensor cores need rows of 16 bytes. Without them, the experts' products run at the rate of ordinary cores, the
// library takes slower kernels, and the cross-entropy reads its logits one by one.
TEST(KernelEstimates, OddWidthsTakeLonger) {
  const int64_t R = 65536, E = 8, N = 16384;
  const Tensor offsets = tensor(DType::i64, {E + 1});
  const auto experts = [&](int64_t O, int64_t I) {
    return estimate([&](Ops& ops) {
      ops.grouped_linear_backward_input(tensor(DType::bf16, {R, I}), tensor(DType::bf16, {R, O}),
                                        tensor(DType::bf16, {E, O, I}), offsets);
    })[0];
  };
  const double even = experts(1024, 1024).seconds;
  for (const auto& [O, I] : {std::pair{1020, 1024}, {1024, 1020}}) {
    const KernelEstimate odd = experts(O, I);
    EXPECT_GT(odd.seconds, odd.flops / known_gpus().front().vector_flops) << O << ' ' << I;
    EXPECT_GT(odd.seconds, 5 * even) << O << ' ' << I;
  }
  const auto head = [&](int64_t V) {
    return estimate([&](Ops& ops) {
      ops.lm_head_loss(tensor(DType::f32, {N}), Tensor{}, tensor(DType::bf16, {N, 1024}), tensor(DType::f32, {V, 1024}),
                       tensor(DType::bf16, {N, 1024}), tensor(DType::bf16, {V, 1024}), tensor(DType::i32, {N}), 1.0,
                       tensor(DType::bf16, {1024, V}));
    });
  };
  const auto good = head(50304), odd = head(50301);
  for (size_t i : {0, 2, 3}) EXPECT_GT(odd[i].seconds, 2 * good[i].seconds) << odd[i].name;
  EXPECT_GT(odd[1].seconds, 1.5 * good[1].seconds);
}

// A large product's floor is nearly the predicted time in f32 as well as in bf16.
TEST(KernelEstimates, TheFloorHasTheRateOfThePrecision) {
  for (const DType compute : {DType::bf16, DType::f32})
    for (const double rate : {30e12, 300e12}) {
      Gpu gpu = known_gpus().front();
      (compute == DType::bf16 ? gpu.product_flops : gpu.vector_product_flops) = rate;
      const Tensor x = tensor(compute, {16384, 16384});
      double predicted = 0, floor = 0;
      Visitor visitor(
          [&](const OpCall& call) { predicted = call_seconds(call, gpu, 1), floor = floor_seconds(call, gpu, 1); });
      make_plan_ops(compute, DType::f32, 1 << 20, 0)
          .observed_by(visitor)
          .linear_forward(tensor(compute, {16384, 16384}), x, x, Write::assign);
      EXPECT_NEAR(floor, 2 * std::pow(16384.0, 3) / rate, 1e-6);
      EXPECT_NEAR(predicted / floor, 1 / kLibraryMainLoop, 0.05);
    }
}

// For all ops, on all GPUs and in both precisions: no call takes less than its floor.
TEST(KernelEstimates, EveryOpHasKernelsThatTakeNoLessThanItsFloor) {
  std::set<OpId> seen;
  for (const Gpu& gpu : known_gpus())
    for (const DType compute : {DType::bf16, DType::f32}) {
      const Ops ops = make_plan_ops(compute, DType::f32, 1 << 20, 0);
      Visitor visitor([&](const OpCall& call) {
        seen.insert(call.op());
        const auto kernels = kernels_of(call, gpu, 1);
        ASSERT_FALSE(kernels.empty()) << call.name();
        for (const KernelEstimate& kernel : kernels) {
          EXPECT_GE(kernel.launches, 1) << call.name() << ' ' << kernel.name;
          EXPECT_TRUE(std::isfinite(kernel.seconds)) << call.name() << ' ' << kernel.name;
        }
        EXPECT_GT(call_seconds(call, gpu, 1), floor_seconds(call, gpu, 1)) << call.name() << ' ' << call.shape();
      });
      for (const auto* cases : {&op_cases().tests, &op_cases().gpu_benchmarks})
        for (const OpCase& op : *cases) {
          observe_pass(op, op.forward, ops, visitor);
          if (op.backward) observe_pass(op, op.backward, ops, visitor);
        }
    }
  for (int op = 0; op < static_cast<int>(OpId::count); ++op)
    EXPECT_TRUE(seen.contains(static_cast<OpId>(op))) << op_declaration(static_cast<OpId>(op)).name;
}

TEST(KernelEstimates, EveryLimitSaysWhatItAssumes) {
  std::set<std::string> names;
  for (int limit = 0; limit < kLimits; ++limit) {
    names.insert(limit_name(static_cast<Limit>(limit)));
    EXPECT_GT(limit_reason(static_cast<Limit>(limit)).size(), 20u) << limit;
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(kLimits));
}

}  // namespace
}  // namespace gptmoe
