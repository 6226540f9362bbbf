// Products, attention, the LM head and the embedding at real sizes (real_size.h).
#include "cuda/real_size.h"

namespace gptmoe {
namespace {

constexpr double kWeight = 1.0 / 32;

TEST_P(RealSize, Linear) {
  const Sampled x(*ops_, real_, {kN, kC}, 1), w(*ops_, real_, {kF, kC}, 2, kWeight), dy(*ops_, real_, {kN, kF}, 3);
  const DeviceTensor y(*ops_, real_, {kN, kF}), dx(*ops_, real_, {kN, kC}), dw(*ops_, DType::f32, {kF, kC});
  run_twice({&y, &dx, &dw}, [&] {
    ops_->linear_forward(y, x, w, Write::assign);
    ops_->linear_backward_input(dx, dy, w, Write::assign);
    ops_->linear_backward_weight(dw, dy, x);
  });
  expect("y", y, 1e-2,
         [&](int64_t i) { return sum_of(kC, [&](int64_t c) { return x(i / kF * kC + c) * w(i % kF * kC + c); }); });
  expect("dx", dx, 1e-2,
         [&](int64_t i) { return sum_of(kF, [&](int64_t f) { return dy(i / kC * kF + f) * w(f * kC + i % kC); }); });
  expect("dw", dw, 1e-2,
         [&](int64_t i) { return sum_of(kN, [&](int64_t n) { return dy(n * kF + i / kC) * x(n * kC + i % kC); }); });
}

// The ops that have kernels for Hopper, with and without them.
class RealSizeOnHopper : public RealSize {};

// Each token has one row, and later experts own more rows.
class Routing {
 public:
  explicit Routing(Ops& ops) : offsets_(ops, DType::i64, {kE + 1}), slots_(ops, tokens()) {
    std::vector<int64_t> offsets(kE + 1);
    for (int64_t e = 0; e <= kE; ++e) offsets[static_cast<size_t>(e)] = kN * e * e / (kE * kE);
    host_ = offsets;
    ops.memory().upload(offsets_, offsets.data());
  }
  const DeviceTensor& offsets() const { return offsets_; }
  const DeviceTensor& slots() const { return slots_; }
  int64_t begin(int64_t expert) const { return host_[static_cast<size_t>(expert)]; }
  int64_t expert(int64_t row) const {
    int64_t e = 0;
    while (row >= begin(e + 1)) ++e;
    return e;
  }
  static int64_t token(int64_t row) { return kN - 1 - row; }

 private:
  static std::vector<int32_t> tokens() {
    std::vector<int32_t> all;
    for (int64_t row = 0; row < kN; ++row) all.push_back(static_cast<int32_t>(token(row)));
    return all;
  }

  DeviceTensor offsets_, slots_;
  std::vector<int64_t> host_;
};

TEST_P(RealSizeOnHopper, GroupedLinear) {
  const Routing routing(*ops_);
  const Sampled x(*ops_, real_, {kN, kC}, 1), w(*ops_, real_, {kE, kF, kC}, 2, kWeight), dy(*ops_, real_, {kN, kF}, 3);
  const DeviceTensor y(*ops_, real_, {kN, kF}), dx(*ops_, real_, {kN, kC}), dw(*ops_, DType::f32, {kE, kF, kC});
  run_twice({&y, &dx, &dw}, [&] {
    ops_->grouped_linear_forward(y, x, w, routing.offsets(), routing.slots());
    ops_->grouped_linear_backward_input(dx, dy, w, routing.offsets());
    ops_->grouped_linear_backward_weight(dw, dy, x, routing.offsets(), routing.slots());
  });
  const auto weight = [&](int64_t row, int64_t f, int64_t c) { return w((routing.expert(row) * kF + f) * kC + c); };
  expect("y", y, 1e-2, [&](int64_t i) {
    const int64_t row = i / kF;
    return sum_of(kC, [&](int64_t c) { return x(Routing::token(row) * kC + c) * weight(row, i % kF, c); });
  });
  expect("dx", dx, 1e-2, [&](int64_t i) {
    return sum_of(kF, [&](int64_t f) { return dy(i / kC * kF + f) * weight(i / kC, f, i % kC); });
  });
  expect("dw", dw, 1e-2, [&](int64_t i) {
    const int64_t expert = i / (kF * kC), first = routing.begin(expert);
    return sum_of(routing.begin(expert + 1) - first, [&](int64_t row) {
      return dy((first + row) * kF + i / kC % kF) * x(Routing::token(first + row) * kC + i % kC);
    });
  });
}

TEST_P(RealSizeOnHopper, GroupedSwiglu) {
  const Routing routing(*ops_);
  const Sampled x(*ops_, real_, {kN, kC}, 1), up(*ops_, real_, {kE, 2 * kF, kC}, 2, kWeight);
  const Sampled dy(*ops_, real_, {kN, kC}, 3), down(*ops_, real_, {kE, kC, kF}, 4, kWeight);
  const Sampled given(*ops_, real_, {kN, 2 * kF}, 5);
  const DeviceTensor a(*ops_, real_, {kN, kF}), h(*ops_, real_, {kN, 2 * kF}), dh(*ops_, real_, {kN, 2 * kF});
  run_twice({&a, &h, &dh}, [&] {
    ops_->grouped_swiglu_forward(a, h, x, up, routing.offsets(), routing.slots());
    ops_->grouped_swiglu_backward(dh, dy, down, given, routing.offsets());
  });
  const auto hidden = [&](int64_t row, int64_t column) {
    return sum_of(kC, [&](int64_t c) {
      return x(Routing::token(row) * kC + c) * up((routing.expert(row) * 2 * kF + column) * kC + c);
    });
  };
  const auto sigmoid = [](double gate) { return 1 / (1 + std::exp(-gate)); };
  expect("h", h, 1e-2, [&](int64_t i) { return hidden(i / (2 * kF), i % (2 * kF)); });
  expect("a", a, 2e-2, [&](int64_t i) {
    const double gate = hidden(i / kF, i % kF);
    return gate * sigmoid(gate) * hidden(i / kF, kF + i % kF);
  });
  expect("dh", dh, 4e-2, [&](int64_t i) {
    const int64_t row = i / (2 * kF), f = i % (2 * kF) % kF;
    const double gate = given(row * 2 * kF + f), share = sigmoid(gate);
    const double da =
        sum_of(kC, [&](int64_t c) { return dy(row * kC + c) * down((routing.expert(row) * kC + c) * kF + f); });
    if (i % (2 * kF) >= kF) return da * gate * share;
    return da * given(row * 2 * kF + kF + f) * share * (1 + gate * (1 - share));
  });
}

TEST_P(RealSizeOnHopper, Attention) {
  constexpr int64_t B = kSizes.B, T = kSizes.T, H = kSizes.H, D = kC / H, S = 3 * H;
  const Sampled qkv(*ops_, real_, {B, T, S, D}, 1), dout(*ops_, real_, {B, T, H, D}, 2);
  const DeviceTensor out(*ops_, real_, {B, T, H, D}), dqkv(*ops_, real_, {B, T, S, D});
  const DeviceTensor lse(*ops_, DType::f32, {B, H, T});
  run_twice({&out, &lse, &dqkv}, [&] {
    ops_->attention_forward(out, lse, qkv);
    ops_->attention_backward(dqkv, dout, out, lse, qkv);
  });
  const auto at = [&](int64_t b, int64_t t, int64_t head, int64_t d) { return ((b * T + t) * S + head) * D + d; };
  const auto scores = [&](int64_t b, int64_t h, int64_t t) {
    std::vector<double> all;
    double total = 0;
    for (int64_t j = 0; j <= t; ++j) {
      double score = 0;
      for (int64_t d = 0; d < D; ++d) score += qkv(at(b, t, h, d)) * qkv(at(b, j, H + h, d));
      all.push_back(std::exp(score / std::sqrt(static_cast<double>(D))));
      total += all.back();
    }
    for (double& score : all) score /= total;
    all.push_back(std::log(total));
    return all;
  };
  // The logarithm of the number of keys would hide a missing quarter of the keys, so it is subtracted.
  expect_at(
      *ops_, "lse", lse, tolerance(1e-1), [&](int64_t i) { return scores(i / (H * T), i / T % H, i % T).back(); },
      sampled_places("lse", B * H * T, 64), [&](int64_t i) { return std::log(static_cast<double>(i % T + 1)); });
  expect("out", out, 2e-2, [&](int64_t i) {
    const int64_t b = i / (T * H * D), t = i / (H * D) % T, h = i / D % H;
    const std::vector<double> p = scores(b, h, t);
    return sum_of(t + 1, [&](int64_t j) { return p[static_cast<size_t>(j)] * qkv(at(b, j, 2 * H + h, i % D)); });
  });
  constexpr int kSamples = 24;  // a sample of a key or value takes T^2 D multiplications
  expect(
      "dqkv", dqkv, 4e-2,
      [&](int64_t i) {
        const int64_t b = i / (T * S * D), t = i / (S * D) % T, head = i / D % S, h = head % H, d = i % D;
        const auto weights = [&](int64_t query) {  // dP - delta, and P, of one query
          const std::vector<double> p = scores(b, h, query);
          std::vector<double> dp(static_cast<size_t>(query) + 1);
          double delta = 0;
          for (int64_t j = 0; j <= query; ++j) {
            double& dot = dp[static_cast<size_t>(j)];
            for (int64_t e = 0; e < D; ++e)
              dot += dout(((b * T + query) * H + h) * D + e) * qkv(at(b, j, 2 * H + h, e));
            delta += dot * p[static_cast<size_t>(j)];
          }
          for (double& dot : dp) dot -= delta;
          return std::pair(p, dp);
        };
        const double scale = 1 / std::sqrt(static_cast<double>(D));
        if (head < H) {
          const auto [p, dp] = weights(t);
          double sum = 0;
          for (size_t j = 0; j < dp.size(); ++j)
            sum += p[j] * dp[j] * scale * qkv(at(b, static_cast<int64_t>(j), H + h, d));
          return sum;
        }
        return sum_of(T - t, [&](int64_t later) {
          const auto [p, dp] = weights(t + later);
          const auto j = static_cast<size_t>(t);
          if (head >= 2 * H) return p[j] * dout(((b * T + t + later) * H + h) * D + d);
          return p[j] * dp[j] * scale * qkv(at(b, t + later, h, d));
        });
      },
      kSamples);
}

TEST_P(RealSize, LmHead) {
  constexpr int64_t M = std::min<int64_t>(kN, 2048);
  constexpr double kScale = 0.5;
  std::vector<int32_t> targets;
  for (int64_t n = 0; n < kN; ++n) targets.push_back(static_cast<int32_t>(n * 7919 % kV));
  const DeviceTensor wanted(*ops_, targets);
  // Weights so large that the softmax, not only the target, shows in the gradients.
  const Sampled x(*ops_, real_, {kN, kC}, 1), w(*ops_, real_, {kV, kC}, 2, 8 * kWeight);
  const DeviceTensor losses(*ops_, DType::f32, {kN}), dx(*ops_, real_, {kN, kC}), dw(*ops_, DType::f32, {kV, kC});
  const DeviceTensor logits(*ops_, real_, {M, kV});
  run_twice({&losses, &dx, &dw}, [&] { ops_->lm_head_loss(losses, Tensor{}, dx, dw, x, w, wanted, kScale, logits); });
  const auto logit = [&](int64_t n, int64_t v) {
    double dot = 0;
    for (int64_t c = 0; c < kC; ++c) dot += x(n * kC + c) * w(v * kC + c);
    return dot;
  };
  const auto target = [&](int64_t n) { return int64_t{targets[static_cast<size_t>(n)]}; };
  const auto log_sum = [&](int64_t n) {
    return std::log(sum_of(kV, [&](int64_t v) { return std::exp(logit(n, v)); }));
  };
  constexpr int kSamples = 6;  // each takes V * C multiplications
  expect_at(
      *ops_, "losses", losses, tolerance(2e-2), [&](int64_t n) { return log_sum(n) - logit(n, target(n)); },
      sampled_places("losses", kN, kSamples), [&](int64_t) { return std::log(static_cast<double>(kV)); });
  expect(
      "dx", dx, 2e-2,
      [&](int64_t i) {
        const int64_t n = i / kC;
        const double norm = log_sum(n);
        return kScale * (sum_of(kV, [&](int64_t v) { return std::exp(logit(n, v) - norm) * w(v * kC + i % kC); }) -
                         w(target(n) * kC + i % kC));
      },
      kSamples);
  const std::vector<double> measured = losses.values();  // compared above
  const auto gradient = [&](int64_t i) {
    const int64_t v = i / kC;
    return sum_of(kN, [&](int64_t n) {
      const double norm = measured[static_cast<size_t>(n)] + logit(n, target(n));
      return kScale * (std::exp(logit(n, v) - norm) - (target(n) == v)) * x(n * kC + i % kC);
    });
  };
  expect("dw", dw, 2e-2, gradient);
  // Rows that are no target hold the softmax's part alone. They are much smaller, so they are compared separately.
  std::vector<int64_t> others = sampled_places("others", kV * kC, 64);
  std::erase_if(others, [&](int64_t i) {
    return std::find(targets.begin(), targets.end(), static_cast<int32_t>(i / kC)) != targets.end();
  });
  EXPECT_FALSE(others.empty());
  expect_at(*ops_, "dw of other rows", dw, tolerance(2e-2), gradient, others);
}

TEST_P(RealSize, Embedding) {
  std::vector<int32_t> text;
  for (int64_t n = 0; n < kN; ++n) text.push_back(static_cast<int32_t>(n % 3 ? n * 7919 % kV : kV - 1));
  const DeviceTensor tokens(*ops_, text);
  const Sampled dout(*ops_, real_, {kN, kC}, 1);
  const DeviceTensor dtable(*ops_, DType::f32, {kV, kC});
  run_twice({&dtable}, [&] { ops_->embedding_backward(dtable, dout, tokens); });
  expect("dtable", dtable, 1e-5, [&](int64_t i) {
    return sum_of(kN, [&](int64_t n) { return text[static_cast<size_t>(n)] == i / kC ? dout(n * kC + i % kC) : 0.0; });
  });
}

INSTANTIATE_TEST_SUITE_P(Ops, RealSize, ::testing::Values(RealBackend{DType::bf16}, RealBackend{DType::f32}),
                         backend_name);
INSTANTIATE_TEST_SUITE_P(Ops, RealSizeOnHopper,
                         ::testing::Values(RealBackend{DType::bf16}, RealBackend{DType::f32},
                                           RealBackend{DType::bf16, true}),
                         backend_name);

}  // namespace
}  // namespace gptmoe
