// The calls that every backend refuses, and the cost of a call.
#include "kernels/op_call.h"

#include <gtest/gtest.h>

#include "kernels/plan_ops.h"
#include "op_cases/case_cost.h"
#include "ops/backends.h"
#include "support/error_message.h"

namespace gptmoe {
namespace {

class OpRefusal : public ::testing::Test {
 protected:
  Tensor f32(std::initializer_list<int64_t> sizes) { return tensor(DType::f32, sizes); }
  Tensor tensor(DType dtype, std::initializer_list<int64_t> sizes) {
    const Tensor sized(nullptr, dtype, sizes);
    memory_.push_back(std::vector<char>(static_cast<size_t>(sized.bytes())));
    return {memory_.back().data(), dtype, sizes};
  }
  // Returns the error message; expects the same one from a computing and a planning backend.
  template <typename Call>
  std::string refusal(Call call) {
    const std::string of_plan = message<BugError>([&] { call(plan_); });
    EXPECT_EQ(message<BugError>([&] { call(float_ops(1)); }), of_plan);
    return of_plan;
  }

  std::vector<std::vector<char>> memory_;
  Ops plan_ = make_plan_ops(DType::f32, DType::f32, 1 << 20, 0);
};

TEST_F(OpRefusal, NamesTheOpTheOperandAndTheSizesItKnows) {
  const Tensor y = f32({4, 6}), rstd = f32({4}), x = f32({4, 6}), weight = f32({5});
  EXPECT_EQ(refusal([&](Ops& ops) { ops.rmsnorm_forward(y, rstd, x, weight, 1e-5); }),
            "rmsnorm_forward: weight, f32 (5), must have 6 in dimension 0 (C = 6, N = 4)");
}

TEST_F(OpRefusal, NamesWrongTypesAndRanksAndAbsentOperands) {
  const Tensor y = f32({4, 6}), rstd = f32({4}), weight = f32({6});
  EXPECT_NE(refusal([&](Ops& ops) {
              ops.rmsnorm_forward(y, rstd, tensor(DType::i32, {4, 6}), weight, 1e-5);
            }).find("x, i32 (4, 6), has the wrong type"),
            std::string::npos);
  EXPECT_NE(refusal([&](Ops& ops) {
              ops.rmsnorm_forward(y, rstd, f32({24}), weight, 1e-5);
            }).find("x, f32 (24), must have rank 2"),
            std::string::npos);
  EXPECT_NE(refusal([&](Ops& ops) {
              ops.rmsnorm_forward(y, rstd, Tensor{}, weight, 1e-5);
            }).find("x, absent tensor, must be given"),
            std::string::npos);
}

TEST_F(OpRefusal, NamesOutputsThatShareMemory) {
  const Tensor both = f32({8, 6}), weight = f32({6}), rstd = f32({4});
  EXPECT_NE(refusal([&](Ops& ops) {
              ops.rmsnorm_forward(both.rows(2, 4), rstd, both.rows(0, 4), weight, 1e-5);
            }).find("must not share memory with x"),
            std::string::npos);
  // The output may be the input itself, but it may not overlap the input at an offset.
  const Tensor h = f32({5, 6}), da = f32({4, 6});
  EXPECT_NO_THROW(float_ops(1).gelu_backward(h.rows(0, 4), da, h.rows(0, 4)));
  EXPECT_NE(refusal([&](Ops& ops) { ops.gelu_backward(h.rows(1, 4), da, h.rows(0, 4)); }).find("share memory"),
            std::string::npos);
}

TEST_F(OpRefusal, NamesSizesThatDoNotMatch) {
  const Tensor cos = f32({3, 4}), sin = f32({3, 4}), qkv = f32({1, 4, 3, 8});
  EXPECT_NE(refusal([&](Ops& ops) { ops.rope_forward(qkv, cos, sin, 2); }).find("not T <= X"), std::string::npos);
  const Tensor y = f32({2, 6}), rows = f32({5, 6}), gates = f32({2, 2}), positions = tensor(DType::i32, {2, 2});
  EXPECT_NE(refusal([&](Ops& ops) { ops.topk_combine_forward(y, rows, gates, positions); }).find("not R = N * K"),
            std::string::npos);
}

TEST_F(OpRefusal, NamesOffsetsWithoutAnEndAndTooFewRowsPerToken) {
  const Tensor excess = f32({1}), none = tensor(DType::i64, {0});
  EXPECT_NE(refusal([&](Ops& ops) { ops.excess_accumulate(excess, none, 1); }).find("must have 1 in dimension 0"),
            std::string::npos);
  const Tensor y = f32({0, 6}), x = f32({4, 5}), w = f32({3, 6, 5});
  const Tensor offsets = tensor(DType::i64, {4}), slots = tensor(DType::i32, {0});
  EXPECT_NE(refusal([&](Ops& ops) {
              ops.grouped_linear_forward(y, x, w, offsets, slots);
            }).find("not R a positive multiple of N"),
            std::string::npos);
}

class OpCost : public ::testing::Test {
 protected:
  static const OpCase& benchmark(std::string_view name) {
    for (const OpCase& op : op_cases().benchmarks)
      if (op.name == name) return op;
    throw std::out_of_range(std::string(name));
  }
  Ops ops_ = make_plan_ops(DType::f32, DType::f32, 1 << 20, 0);
};

TEST_F(OpCost, CountsTheBytesOfElementsInUseButNotOfScratch) {
  // 8 of the 12 heads are read and written, and two tables are read.
  const double turned = 2 * 4.0 * 16 * 256 * 8 * 64, tables = 2 * 4.0 * 256 * 32;
  EXPECT_EQ(forward_cost(benchmark("rope_16x256x4x4x64"), ops_).bytes, turned + tables);
  EXPECT_EQ(backward_cost(benchmark("rope_16x256x4x4x64"), ops_).bytes, turned + tables);
  // The bytes of losses, targets, x and w.
  EXPECT_EQ(forward_cost(benchmark("lm_head_loss_4096x256x2048x512"), ops_).bytes,
            4.0 * (4096 + 4096 + 4096 * 256 + 2048 * 256));
  EXPECT_EQ(forward_cost(benchmark("zero_4194304_stat"), ops_).bytes, 4.0 * 4194304);
  // The bytes of dprobs, dgates and ids.
  EXPECT_EQ(backward_cost(benchmark("topk_4096x4x32"), ops_).bytes, 4.0 * 4096 * (32 + 4 + 4));
}

// linear's backward is two matrix products that both read dy. dy counts once; dw, which is added to, counts twice.
TEST_F(OpCost, APassCountsEachTensorOnce) {
  EXPECT_EQ(backward_cost(benchmark("linear_4096x256x768"), ops_).bytes,
            4.0 * (4096 * 768 + 4096 * 256 + 768 * 256 + 4096 * 256 + 2 * 768 * 256));
  // The bytes of dy, w, dw twice, x, dx twice, slots, positions and offsets, but not of the sorted dx between product
  // and scatter.
  EXPECT_EQ(backward_cost(benchmark("grouped_linear_4096x1x8x256x1408_gathered"), ops_).bytes,
            4.0 * (4096 * 1408 + 3 * 8 * 1408 * 256 + 3 * 4096 * 256 + 2 * 4096) + 8 * 9);
}

TEST_F(OpCost, CountsTheFlopsOfMatrixProducts) {
  EXPECT_EQ(forward_cost(benchmark("lm_head_loss_4096x256x2048x512"), ops_).flops, 2.0 * 4096 * 256 * 2048);
  EXPECT_EQ(backward_cost(benchmark("lm_head_loss_4096x256x2048x512"), ops_).flops, 3 * 2.0 * 4096 * 256 * 2048);
  EXPECT_EQ(forward_cost(benchmark("rope_16x256x4x4x64"), ops_).flops, 0);
}

// A tensor that is added to is also read. Sorted rows count in proportion to their live share.
TEST_F(OpCost, IsReportedForEachCall) {
  struct Bytes final : OpObserver {
    void before(const OpCall& call) override { bytes = call.bytes(0.5), flops = call.flops(0.5), shape = call.shape(); }
    double bytes = 0, flops = 0;
    std::string shape;
  } seen;
  Ops observed = ops_.observed_by(seen);
  const auto f32 = [](std::initializer_list<int64_t> sizes) { return Tensor(nullptr, DType::f32, sizes); };
  observed.linear_forward(f32({4, 6}), f32({4, 5}), f32({6, 5}), Write::add);
  EXPECT_EQ(seen.bytes, 4.0 * (2 * 24 + 20 + 30));
  observed.grouped_linear_forward(f32({8, 6}), f32({4, 5}), f32({3, 6, 5}), Tensor(nullptr, DType::i64, {4}),
                                  Tensor(nullptr, DType::i32, {8}));
  EXPECT_EQ(seen.bytes, 4.0 * (48 / 2 + 20 + 90 + 8 / 2) + 8 * 4);
  EXPECT_EQ(seen.flops, 2.0 * 8 * 6 * 5 / 2);
  EXPECT_EQ(seen.shape, "8x5x6x3");
}

}  // namespace
}  // namespace gptmoe
