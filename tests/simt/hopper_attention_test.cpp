// Attention by the kernels for Hopper: right in every order of events, and at the ends of sequences.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>

#include "cuda/device_tensor.h"
#include "op_cases/case_run.h"
#include "ops/backends.h"
#include "simt/runtime.h"

namespace gptmoe {
namespace {

Ops& ops_with(bool hopper) {
  static const auto with = make_cuda_ops(DType::bf16, {.hopper = true}), without = make_cuda_ops(DType::bf16, {});
  return hopper ? *with : *without;
}

const OpCase& case_named(const std::string& name) {
  const auto& all = op_cases().tests;
  const auto found = std::find_if(all.begin(), all.end(), [&](const OpCase& op) { return op.name == name; });
  if (found == all.end()) throw std::invalid_argument("no case " + name);
  return *found;
}

class HopperAttention : public testing::Test {
 protected:
  ~HopperAttention() override { simt::set_timing(simt::Timing::late); }
};

// Two runs of the same case, on the kernels for Hopper and on the others. The backward starts from the same forward.
struct Pair {
  CaseRun hopper, others;

  explicit Pair(const OpCase& op)
      : hopper(op, ops_with(true), Garbage::nan, DType::bf16), others(op, ops_with(false), Garbage::nan, DType::bf16) {
    hopper.forward();
    others.forward();
    for (const char* tensor : {"out", "lse"}) {
      expect_near(tensor);
      others.write(tensor, hopper.read(tensor));
    }
    hopper.backward();
    others.backward();
    expect_near("dqkv");
    for (const std::string& broken : hopper.broken_promises()) ADD_FAILURE() << broken;
  }
  void expect_near(const char* tensor) {
    const Difference worst = worst_difference(tensor, hopper.read(tensor), others.read(tensor), false);
    EXPECT_LE(worst.error, hopper.op().bf16_tolerance) << hopper.op().name << ": " << worst.where;
  }
};

// The cases have whole and partial tiles, one and two warpgroups with rows, up to four query heads for a key head, and
// documents. Of heads of 128, some queries see no key of a warpgroup, and stages of all rings are used again.
TEST_F(HopperAttention, AgreesWithTheOtherKernelsInEveryOrder) {
  for (const char* name : {"attention_2x17x4x1x64", "attention_1x200x2x1x64", "attention_1x130x2x1x128",
                           "attention_1x260x1x1x128", "attention_1x130x2x1x128_documents"})
    for (const simt::Timing timing : {simt::Timing::late, simt::Timing::early, simt::Timing::interleaved}) {
      simt::set_timing(timing);
      const Pair pair(case_named(name));
      static std::map<std::string, std::vector<double>> first;
      const auto& bits = first.try_emplace(name, pair.hopper.read("dqkv")).first->second;
      EXPECT_EQ(pair.hopper.read("dqkv"), bits) << name << " depends on the order";
    }
}

// Hopper's forward takes the keys in another order, and rounds differently.
TEST_F(HopperAttention, TakesHeadsOf64And128AndNoOthers) {
  const auto same = [](const char* name) {
    CaseRun hopper(case_named(name), ops_with(true)), others(case_named(name), ops_with(false));
    hopper.forward();
    others.forward();
    return hopper.same_bits(others, "out");
  };
  EXPECT_FALSE(same("attention_1x200x2x1x64"));
  EXPECT_FALSE(same("attention_1x130x2x1x128"));
  EXPECT_TRUE(same("attention_1x50x2x1x72"));
}

// Tiles reach past the end of a sequence. What follows there belongs to the next one, and must not count even as NaN.
TEST_F(HopperAttention, ASequenceDoesNotReadTheNextOne) {
  constexpr int64_t kT = 70, kH = 2, kG = 1, kD = 64, kS = kH + 2 * kG;
  Ops& ops = ops_with(true);
  const auto run = [&](float next) {
    const auto filled = [&](int64_t width) {
      std::vector<float> values(2 * kT * width, next);
      for (int64_t i = 0; i < kT * width; ++i) values[i] = std::sin(static_cast<float>(i));
      return values;
    };
    const DeviceTensor qkv(ops, DType::bf16, {2, kT, kS, kD}, filled(kS * kD)),
        dout(ops, DType::bf16, {2, kT, kH, kD}, filled(kH * kD)), dqkv(ops, DType::bf16, {2, kT, kS, kD}),
        out(ops, DType::bf16, {2, kT, kH, kD}), lse(ops, DType::f32, {2, kH, kT});
    ops.attention_forward(out, lse, qkv);
    ops.attention_backward(dqkv, dout, out, lse, qkv);
    std::vector<double> values = out.values(), gradients = dqkv.values();
    values.resize(kT * kH * kD);
    values.insert(values.end(), gradients.begin(), gradients.begin() + kT * kS * kD);
    return values;
  };
  EXPECT_EQ(run(NAN), run(0));
}

}  // namespace
}  // namespace gptmoe
