// Guarantees of individual ops that their cases do not cover.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "op_cases/case_run.h"
#include "op_cases/routing_plan.h"
#include "ops/backends.h"

namespace gptmoe {
namespace {

template <typename T>
Tensor tensor(std::vector<T>& values, std::initializer_list<int64_t> sizes) {
  Tensor out(values.data(), DTypeOf<T>::value, sizes);
  GPTMOE_CHECK(out.count() == static_cast<int64_t>(values.size()));
  return out;
}

TEST(TopK, TiesGoToTheLowerExpert) {
  std::vector<float> probs = {0.25f, 0.25f, 0.25f, 0.25f,  // all equal
                              0.1f,  0.4f,  0.1f,  0.4f,   // two pairs
                              0.2f,  0.2f,  0.4f,  0.2f,   // a tie for second place
                              0.0f,  0.0f,  0.0f,  1.0f};  // zeros
  std::vector<int32_t> ids(12, -7);
  std::vector<float> gates(12, -7);
  float_ops(1).topk_forward(tensor(ids, {4, 3}), tensor(gates, {4, 3}), tensor(probs, {4, 4}), false, 1);
  EXPECT_EQ(ids, (std::vector<int32_t>{0, 1, 2, 1, 3, 0, 2, 0, 1, 3, 0, 1}));
  EXPECT_EQ(gates, (std::vector<float>{0.25f, 0.25f, 0.25f, 0.4f, 0.4f, 0.1f, 0.4f, 0.2f, 0.2f, 1.0f, 0.0f, 0.0f}));
}

TEST(TopK, NormalizedGatesDescendAndSumToOne) {
  for (const OpCase& op : op_cases().tests) {
    if (!op.name.starts_with("topk_") || !op.name.ends_with("_normalized")) continue;
    CaseRun run(op, float_ops(2));
    run.forward();
    const std::vector<double> gates = run.read("gates");
    const int64_t k = op.find("gates")->sizes[1];
    for (int64_t row = 0; row < op.find("gates")->sizes[0]; ++row) {
      double sum = 0;
      for (int64_t i = 0; i < k; ++i) sum += gates[row * k + i];
      EXPECT_NEAR(sum, 1, 1e-6) << op.name << " row " << row;
      for (int64_t i = 1; i < k; ++i) EXPECT_GE(gates[row * k + i - 1], gates[row * k + i]) << op.name;
    }
  }
}

TEST(SortByExpert, IsStableAndInvertible) {
  std::vector<RoutingShape> shapes = routing_shapes();
  shapes.insert(shapes.end(), shapes_with_dead_slots().begin(), shapes_with_dead_slots().end());
  for (const RoutingShape& shape : shapes) {
    const RoutingPlan plan = shape.plan();
    const int64_t r = shape.n * shape.k;
    std::vector<int32_t> ids(plan.expert_ids.begin(), plan.expert_ids.end()), slots(r, -1), positions(r, -1);
    std::vector<int64_t> offsets(shape.e + 1, -1);
    float_ops(3).sort_by_expert(tensor(offsets, {shape.e + 1}), tensor(slots, {r}),
                                tensor(positions, {shape.n, shape.k}), tensor(ids, {shape.n, shape.k}));
    EXPECT_EQ(offsets.front(), 0);
    EXPECT_EQ(offsets.back(), plan.live());
    for (int64_t expert = 0; expert < shape.e; ++expert) {
      for (int64_t row = offsets[expert]; row < offsets[expert + 1]; ++row) {
        EXPECT_EQ(ids[slots[row]], expert);
        EXPECT_EQ(positions[slots[row]], row);
        if (row > offsets[expert]) {
          EXPECT_LT(slots[row - 1], slots[row]);
        }
      }
    }
  }
}

TEST(Attention, LaterTokensDoNotAffectEarlierOnes) {
  const int64_t t = 130, h = 2, d = 6;
  const Rng rng(1, 2);
  std::vector<float> qkv(t * 3 * h * d), out(t * h * d), lse(h * t);
  for (size_t i = 0; i < qkv.size(); ++i) qkv[i] = static_cast<float>(rng.normal(i));
  const auto run = [&] {
    float_ops(2).attention_forward(tensor(out, {1, t, h, d}), tensor(lse, {1, h, t}), tensor(qkv, {1, t, 3 * h, d}));
    return out;
  };
  const std::vector<float> before = run();
  for (int64_t changed : {t - 1, int64_t{65}, int64_t{64}, int64_t{1}}) {
    for (int64_t i = 0; i < 3 * h * d; ++i) qkv[changed * 3 * h * d + i] += 1;
    const std::vector<float> after = run();
    for (int64_t i = 0; i < changed * h * d; ++i) ASSERT_EQ(after[i], before[i]) << "token " << i / (h * d);
    EXPECT_NE(after[changed * h * d], before[changed * h * d]);
  }
}

TEST(LmHeadLoss, IsTheSameToTheBitWithAndWithoutBackward) {
  for (const OpCase& op : op_cases().tests) {
    if (!op.name.starts_with("lm_head_loss")) continue;
    CaseRun run(op, float_ops(2));
    run.forward();
    run.backward();
    EXPECT_EQ(run.read("losses"), run.read("losses_of_backward")) << op.name;
  }
}

TEST(LmHeadLoss, StaysFiniteAtExtremeLogits) {
  std::vector<float> x = {1, 1, 1}, w = {80, -80, 0}, losses(3), dx(3), dw(3), logits(3);
  std::vector<int32_t> targets = {0, 1, 2};
  float_ops(1).lm_head_loss(tensor(losses, {3}), Tensor{}, tensor(dx, {3, 1}), tensor(dw, {3, 1}), tensor(x, {3, 1}),
                            tensor(w, {3, 1}), tensor(targets, {3}), 1, tensor(logits, {1, 3}));
  EXPECT_EQ(losses, (std::vector<float>{0, 160, 80}));
  EXPECT_EQ(dx, (std::vector<float>{0, 160, 80}));
  EXPECT_EQ(dw, (std::vector<float>{2, -1, -1}));
}

TEST(DefaultCommit, KeepsTheVectorsOfIdleExpertsToTheBit) {
  std::vector<float> vectors = {0.1f, -0.3f, 0.7f, 1e-8f}, sums = {1, 2, 3, 4}, weights = {0, 2};
  float_ops(1).default_commit(tensor(vectors, {2, 2}), tensor(sums, {2, 2}), tensor(weights, {2}), 0.5, false);
  EXPECT_EQ(vectors[0], 0.1f);
  EXPECT_EQ(vectors[1], -0.3f);
  EXPECT_FLOAT_EQ(vectors[2], 0.5f * 0.7f + 0.5f * 1.5f);
  EXPECT_FLOAT_EQ(vectors[3], 0.5f * 1e-8f + 0.5f * 2);
  EXPECT_EQ(sums, (std::vector<float>{0, 0, 0, 0}));
  EXPECT_EQ(weights, (std::vector<float>{0, 0}));
}

TEST(DefaultClipScale, DoesNotScaleRowsOfZeros) {
  std::vector<float> rows = {0, 0, 3, 4, 0, 0}, scale(3);  // the median norm is 0, so longer rows get scale 0
  float_ops(1).default_clip_scale(tensor(scale, {3}), tensor(rows, {3, 2}), 2);
  EXPECT_EQ(scale, (std::vector<float>{1, 0, 1}));
}

TEST(CountNonfinite, CountsInfinitiesAndNaNs) {
  constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();
  for (int threads : {1, 3}) {
    for (int64_t n : {1, 7, 1000, 70001}) {
      std::vector<float> x(n, std::numeric_limits<float>::max());
      EXPECT_EQ(float_ops(threads).count_nonfinite(tensor(x, {n})), 0);
      x[0] = kNan;
      EXPECT_EQ(float_ops(threads).count_nonfinite(tensor(x, {n})), 1);
      for (int64_t i = 1; i < n; i += 3) x[i] = i % 2 ? kInf : -kInf;
      EXPECT_EQ(float_ops(threads).count_nonfinite(tensor(x, {n})), 1 + (n + 1) / 3);

      std::vector<uint16_t> bf16(n, 0x7F7F);  // the largest number
      const auto count = [&] { return float_ops(threads).count_nonfinite(Tensor(bf16.data(), DType::bf16, {n})); };
      EXPECT_EQ(count(), 0);
      bf16[0] = 0x7FC0;  // NaN
      for (int64_t i = 1; i < n; i += 3) bf16[i] = i % 2 ? 0x7F80 : 0xFF80;
      EXPECT_EQ(count(), 1 + (n + 1) / 3);
    }
  }
}

TEST(ClipScale, IsNaNFromTheFirstNonfiniteStepOn) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  const auto scale_after = [](float before, float squared_norm, float loss) {
    float_ops(1).clip_scale(Tensor(&before, DType::f32, {1}), Tensor(&squared_norm, DType::f32, {1}),
                            Tensor(&loss, DType::f32, {1}), 1);
    return before;
  };
  EXPECT_EQ(scale_after(7, 4, 3), 0.5f);
  for (float bad : {nan, infinity, -infinity}) {
    EXPECT_TRUE(std::isnan(scale_after(1, bad, 3))) << bad;
    EXPECT_TRUE(std::isnan(scale_after(1, 4, bad))) << bad;
  }
  EXPECT_TRUE(std::isnan(scale_after(nan, 4, 3)));
}

TEST(AdamW, ChangesNothingIfTheScaleIsNaN) {
  std::vector<float> param = {1, 2}, m = {3, 4}, v = {5, 6}, grad = {7, std::numeric_limits<float>::quiet_NaN()},
                     scale = {std::numeric_limits<float>::quiet_NaN()}, rates = {0.1f, 0.1f, 1};
  float_ops(1).adamw(tensor(param, {2}), Tensor{}, tensor(m, {2}), tensor(v, {2}), tensor(grad, {2}),
                     tensor(scale, {1}), tensor(rates, {3}), AdamwConstants{0.9, 0.95, 1e-8, 0.1});
  EXPECT_EQ(param, (std::vector<float>{1, 2}));
  EXPECT_EQ(m, (std::vector<float>{3, 4}));
  EXPECT_EQ(v, (std::vector<float>{5, 6}));
}

TEST(Cast, KeepsNonfiniteValues) {
  constexpr float kInf = std::numeric_limits<float>::infinity(), kMax = std::numeric_limits<float>::max();
  // The last value is a NaN whose mantissa bits are all in the half that rounding removes.
  std::vector<float> x = {kInf, -kInf, kMax, std::numeric_limits<float>::quiet_NaN(), std::bit_cast<float>(0x7F800001)};
  std::vector<uint16_t> narrow(x.size());
  const Tensor rounded(narrow.data(), DType::bf16, {std::ssize(x)});
  float_ops(1).cast(rounded, tensor(x, {std::ssize(x)}));
  float_ops(1).cast(tensor(x, {std::ssize(x)}), rounded);
  EXPECT_EQ(std::vector<float>(x.begin(), x.begin() + 3), (std::vector<float>{kInf, -kInf, kInf}));
  EXPECT_TRUE(std::isnan(x[3]) && std::isnan(x[4]));
}

TEST(RoundRandomly, KeepsNonfiniteValues) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  // The first NaN is a GPU's own, to which nearly every draw carries; the second has its bits in the half that goes.
  const uint32_t nans[] = {0x7FFFFFFF, 0x7F800001, 0xFFFFFFFF};
  for (const float step : {1.0f, 2.0f, 3.0f}) {
    std::vector<float> x = {kInf, -kInf}, steps = {step};
    for (const uint32_t nan : nans) x.insert(x.end(), 16, std::bit_cast<float>(nan));
    std::vector<uint16_t> narrow(x.size());
    const Tensor rounded(narrow.data(), DType::bf16, {std::ssize(x)});
    float_ops(1).round_randomly(rounded, tensor(x, {std::ssize(x)}), tensor(steps, {1}), 0, 0);
    float_ops(1).cast(tensor(x, {std::ssize(x)}), rounded);
    EXPECT_EQ(x[0], kInf);
    EXPECT_EQ(x[1], -kInf);
    for (size_t i = 2; i < x.size(); ++i) EXPECT_TRUE(std::isnan(x[i])) << i;
  }
}

// Values in 8-bit codes.
struct Blocks {
  explicit Blocks(std::vector<float> values) : x(std::move(values)), codes(x.size()), scales((x.size() + 255) / 256) {}
  void encode(bool has_sign, float step = 1) {
    std::vector<float> steps = {step};
    float_ops(1).encode_blocks(Tensor(codes.data(), DType::u8, {std::ssize(codes)}),
                               tensor(scales, {std::ssize(scales)}), tensor(x, {std::ssize(x)}), tensor(steps, {1}), 0,
                               0, has_sign);
  }
  std::vector<float> decoded(bool has_sign) {
    std::vector<float> out(x.size());
    float_ops(1).decode_blocks(tensor(out, {std::ssize(out)}), Tensor(codes.data(), DType::u8, {std::ssize(codes)}),
                               tensor(scales, {std::ssize(scales)}), has_sign);
    return out;
  }
  std::vector<float> x;
  std::vector<uint8_t> codes;
  std::vector<float> scales;
};

// Whatever the scale and the draws, codes that were decoded are encoded as they were.
TEST(EncodeBlocks, KeepsNumbersThatCodesStandFor) {
  for (const bool has_sign : {true, false})
    for (const float scale : {1.0f, 0.3f, 7.7e-9f, 1.7e-28f, 3.1e20f}) {
      Blocks blocks(std::vector<float>(256));
      for (size_t i = 0; i < 256; ++i) blocks.codes[i] = static_cast<uint8_t>(has_sign && i == 128 ? 0 : i);  // no -0
      blocks.scales[0] = scale;
      blocks.x = blocks.decoded(has_sign);
      const std::vector<uint8_t> codes = blocks.codes;
      for (const float step : {1.0f, 2.0f, 3.0f}) {
        blocks.encode(has_sign, step);
        EXPECT_EQ(blocks.codes, codes) << scale;
        EXPECT_EQ(blocks.scales[0], scale);
      }
    }
}

TEST(EncodeBlocks, IsRightOnAverageAndNeverMakesAPositiveNumberZero) {
  std::vector<float> x(256 * 4000, 1.0f);
  for (size_t i = 0; i < x.size(); ++i)
    if (i % 256 != 0) x[i] = static_cast<float>(std::pow(10.0, -static_cast<double>(i % 256) / 30));  // to 3e-9
  Blocks blocks(x);
  for (const bool has_sign : {true, false}) {
    blocks.encode(has_sign);
    const std::vector<float> decoded = blocks.decoded(has_sign);
    for (size_t place = 0; place < 256; ++place) {
      double sum = 0, squares = 0;
      for (size_t i = place; i < x.size(); i += 256) {
        sum += decoded[i];
        squares += std::pow(decoded[i] - x[i], 2);
        EXPECT_TRUE(has_sign || decoded[i] > 0) << place;
      }
      const double deviation = std::sqrt(squares) / 4000;
      if (has_sign || x[place] >= 1e-7f) {
        EXPECT_NEAR(sum / 4000, x[place], 5 * deviation + 2e-7 * x[place]) << place;
      }
    }
  }
}

TEST(EncodeBlocks, TheScaleShowsNonfiniteNumbers) {
  for (const float value : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> x(600, 1.0f);
    x[300] = value;
    Blocks blocks(x);
    blocks.encode(true);
    EXPECT_EQ(blocks.scales[0], 1);
    EXPECT_FALSE(std::isfinite(blocks.scales[1]));
    EXPECT_EQ(blocks.scales[2], 1);
    EXPECT_FALSE(std::isfinite(blocks.decoded(true)[300]));
  }
}

// Magnitudes below the range of fractions, subnormal numbers among them.
TEST(EncodeBlocks, StoresATinyBlockAsZeros) {
  std::vector<float> x(300, 1e-40f);
  x[256] = 1e-3f;
  Blocks blocks(x);
  blocks.encode(false);
  EXPECT_EQ(blocks.scales[0], 0);
  EXPECT_EQ(blocks.decoded(false)[0], 0);
  EXPECT_EQ(blocks.decoded(false)[256], 1e-3f);
}

}  // namespace
}  // namespace gptmoe
