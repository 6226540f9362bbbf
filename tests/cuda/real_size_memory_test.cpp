// Ops that move memory, at the sizes of configs/paper/8c1_default.json (see real_size.h).
#include <array>
#include <numeric>

#include "cuda/real_size.h"

namespace gptmoe {
namespace {

constexpr int64_t kK = 2, kR = kN * kK;  // experts per token, slots
constexpr double kEps = 1e-5;

class RealSizeMemory : public RealSize {};

// A norm's statistics of one row.
struct RowNorm {
  double mean, rstd;
};
std::vector<RowNorm> row_norms(const Sampled& x, bool centred) {
  std::vector<RowNorm> all(static_cast<size_t>(kN));
#pragma omp parallel for schedule(static)
  for (int64_t n = 0; n < kN; ++n) {
    double sum = 0, squares = 0;
    for (int64_t c = 0; c < kC; ++c) sum += x(n * kC + c);
    const double mean = centred ? sum / kC : 0;
    for (int64_t c = 0; c < kC; ++c) squares += (x(n * kC + c) - mean) * (x(n * kC + c) - mean);
    all[static_cast<size_t>(n)] = {mean, 1 / std::sqrt(squares / kC + kEps)};
  }
  return all;
}

TEST_P(RealSizeMemory, Norms) {
  const Sampled x(*ops_, real_, {kN, kC}, 1), weight(*ops_, real_, {kC}, 2), bias(*ops_, real_, {kC}, 3);
  const Sampled dy(*ops_, real_, {kN, kC}, 4);
  for (const bool centred : {true, false}) {
    const DeviceTensor y(*ops_, real_, {kN, kC}), dx(*ops_, real_, {kN, kC});
    const DeviceTensor mean(*ops_, DType::f32, {kN}), rstd(*ops_, DType::f32, {kN});
    const DeviceTensor dweight(*ops_, DType::f32, {kC}), dbias(*ops_, DType::f32, {kC});
    run_twice({&y, &dx, &mean, &rstd, &dweight, &dbias}, [&] {
      if (centred) {
        ops_->layernorm_forward(y, mean, rstd, x, weight, bias, kEps);
        ops_->layernorm_backward(dx, dweight, dbias, dy, x, weight, mean, rstd);
      } else {
        ops_->rmsnorm_forward(y, rstd, x, weight, kEps);
        ops_->rmsnorm_backward(dx, dweight, dy, x, weight, rstd);
      }
    });
    const std::vector<RowNorm> norms = row_norms(x, centred);
    const auto norm_of = [&](int64_t n) { return norms[static_cast<size_t>(n)]; };
    const auto normal = [&](int64_t i) { return (x(i) - norm_of(i / kC).mean) * norm_of(i / kC).rstd; };
    expect("rstd", rstd, 1e-5, [&](int64_t n) { return norm_of(n).rstd; });
    expect("y", y, 1e-2, [&](int64_t i) { return normal(i) * weight(i % kC) + (centred ? bias(i % kC) : 0); });
    expect("dx", dx, 1e-2, [&](int64_t i) {
      const int64_t first = i / kC * kC;
      const auto g = [&](int64_t c) { return dy(first + c) * weight(c); };
      const double mean_g = centred ? sum_of(kC, g) / kC : 0;
      const double mean_gh = sum_of(kC, [&](int64_t c) { return g(c) * normal(first + c); }) / kC;
      return norm_of(i / kC).rstd * (g(i % kC) - mean_g - normal(i) * mean_gh);
    });
    expect("dweight", dweight, 1e-4,
           [&](int64_t c) { return sum_of(kN, [&](int64_t n) { return dy(n * kC + c) * normal(n * kC + c); }); });
    if (!centred) continue;
    expect("mean", mean, 1e-5, [&](int64_t n) { return norm_of(n).mean; });
    expect("dbias", dbias, 1e-4, [&](int64_t c) { return sum_of(kN, [&](int64_t n) { return dy(n * kC + c); }); });
  }
}

TEST_P(RealSizeMemory, Rope) {
  constexpr int64_t B = kSizes.B, T = kSizes.T, H = kSizes.H, D = kC / H, S = 3 * H, kRotated = 2 * H;
  constexpr double kTheta = 10000;
  const Sampled qkv(*ops_, real_, {B, T, S, D}, 1);
  const DeviceTensor cos(*ops_, DType::f32, {T, D / 2}), sin(*ops_, DType::f32, {T, D / 2});
  const DeviceTensor there(*ops_, real_, {B, T, S, D}), back(*ops_, real_, {B, T, S, D});
  run_twice({&cos, &sin, &there, &back}, [&] {
    ops_->rope_tables(cos, sin, kTheta);
    ops_->copy(there, qkv);
    ops_->rope_forward(there, cos, sin, kRotated);
    ops_->copy(back, qkv);
    ops_->rope_backward(back, cos, sin, kRotated);
  });
  const auto rotated = [&](int64_t i, double direction) {
    const int64_t d = i % D, pair = d % (D / 2), head = i / D % S, t = i / (S * D) % T;
    if (head >= kRotated) return qkv(i);
    const double angle = static_cast<double>(t) * std::pow(kTheta, -2.0 * static_cast<double>(pair) / D);
    const double other = d < D / 2 ? -qkv(i + D / 2) : qkv(i - D / 2);
    return qkv(i) * std::cos(angle) + direction * other * std::sin(angle);
  };
  expect("forward", there, 1e-2, [&](int64_t i) { return rotated(i, 1); });
  expect("backward", back, 1e-2, [&](int64_t i) { return rotated(i, -1); });
}

// The K largest of a token's logits, which have many ties.
std::vector<int32_t> chosen(const Sampled& logits) {
  std::vector<int32_t> ids;
  for (int64_t n = 0; n < kN; ++n) {
    std::vector<int32_t> order(static_cast<size_t>(kE));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return logits(n * kE + a) > logits(n * kE + b); });
    ids.insert(ids.end(), order.begin(), order.begin() + kK);
  }
  return ids;
}

struct Sorted {
  std::vector<int32_t> slots, positions = std::vector<int32_t>(static_cast<size_t>(kR));
  std::vector<int64_t> offsets = {0};

  explicit Sorted(const std::vector<int32_t>& ids) {
    for (int32_t e = 0; e < kE; ++e) {
      for (size_t slot = 0; slot < ids.size(); ++slot) {
        if (ids[slot] != e) continue;
        positions[slot] = static_cast<int32_t>(slots.size());
        slots.push_back(static_cast<int32_t>(slot));
      }
      offsets.push_back(std::ssize(slots));
    }
  }
};

TEST_P(RealSizeMemory, RouterAndSort) {
  const Sampled logits(*ops_, DType::f32, {kN, kE}, 1, 4), dprobs(*ops_, DType::f32, {kN, kE}, 2);
  const DeviceTensor probs(*ops_, DType::f32, {kN, kE}), dlogits(*ops_, DType::f32, {kN, kE});
  const DeviceTensor lse(*ops_, DType::f32, {kN}), gates(*ops_, DType::f32, {kN, kK});
  const DeviceTensor ids(*ops_, DType::i32, {kN, kK}), slots(*ops_, DType::i32, {kR});
  const DeviceTensor positions(*ops_, DType::i32, {kN, kK}), offsets(*ops_, DType::i64, {kE + 1});
  run_twice({&probs, &dlogits, &lse, &gates, &ids, &slots, &positions, &offsets}, [&] {
    ops_->router_softmax_forward(probs, lse, logits);
    ops_->topk_forward(ids, gates, probs, false, 1);
    ops_->router_softmax_backward(dlogits, dprobs, probs);
    ops_->sort_by_expert(offsets, slots, positions, ids);
  });
  const auto total = [&](int64_t n) { return sum_of(kE, [&](int64_t e) { return std::exp(logits(n * kE + e)); }); };
  const auto share = [&](int64_t i) { return std::exp(logits(i)) / total(i / kE); };
  expect("lse", lse, 1e-5, [&](int64_t n) { return std::log(total(n)); });
  expect("probs", probs, 1e-5, share);
  expect("dlogits", dlogits, 1e-5, [&](int64_t i) {
    const int64_t first = i / kE * kE;
    return share(i) * (dprobs(i) - sum_of(kE, [&](int64_t e) { return share(first + e) * dprobs(first + e); }));
  });
  const std::vector<int32_t> expected = chosen(logits);
  EXPECT_EQ(ids.ids(), expected);
  expect("gates", gates, 1e-5, [&](int64_t i) { return share(i / kK * kE + expected[static_cast<size_t>(i)]); });
  const Sorted sorted(expected);
  EXPECT_EQ(slots.ids(), sorted.slots);
  EXPECT_EQ(positions.ids(), sorted.positions);
  std::vector<int64_t> got(sorted.offsets.size());
  ops_->memory().download(got.data(), offsets);
  EXPECT_EQ(got, sorted.offsets);
}

TEST_P(RealSizeMemory, CombineAndDefaultVectors) {
  constexpr double kBeta = 0.9;
  const std::vector<int32_t> ids = chosen(Sampled(*ops_, DType::f32, {kN, kE}, 1, 4));
  const Sorted sorted(ids);
  const DeviceTensor flat_ids(*ops_, ids), slots(*ops_, sorted.slots), flat_positions(*ops_, sorted.positions);
  const DeviceTensor offsets(*ops_, DType::i64, {kE + 1});
  ops_->memory().upload(offsets, sorted.offsets.data());
  const auto by_token = [](const Tensor& flat) { return flat.view({kN, kK}); };
  const Tensor ids_NK = by_token(flat_ids), positions_NK = by_token(flat_positions);
  const Sampled rows(*ops_, real_, {kR, kC}, 2), dy(*ops_, real_, {kN, kC}, 3);
  const Sampled gates(*ops_, DType::f32, {kN, kK}, 4), probs(*ops_, DType::f32, {kN, kE}, 5);
  const Sampled vectors(*ops_, DType::f32, {kE, kC}, 6);
  const DeviceTensor y(*ops_, real_, {kN, kC}), filled(*ops_, real_, {kN, kC}), drows(*ops_, real_, {kR, kC});
  const DeviceTensor filled_drows(*ops_, real_, {kR, kC}), dgates(*ops_, DType::f32, {kN, kK});
  const DeviceTensor dprobs(*ops_, DType::f32, {kN, kE}), average(*ops_, DType::f32, {kE, kC});
  const DeviceTensor sums(*ops_, DType::f32, {kE, kC}), divisors(*ops_, DType::f32, {kE});
  run_twice({&y, &filled, &drows, &filled_drows, &dgates, &dprobs, &average, &sums, &divisors}, [&] {
    ops_->topk_combine_forward(y, rows, gates, positions_NK);
    ops_->topk_combine_backward(drows, dgates, dy, rows, gates, positions_NK);
    ops_->default_combine_forward(filled, rows, probs, ids_NK, positions_NK, vectors);
    ops_->default_combine_backward(filled_drows, dprobs, dy, rows, probs, ids_NK, positions_NK, vectors);
    ops_->default_accumulate(sums, divisors, rows, gates, slots, offsets, Tensor(), Divisor::rows);
    ops_->default_commit(average, sums, divisors, kBeta, false);
  });
  const auto expert = [&](int64_t slot) { return int64_t{ids[static_cast<size_t>(slot)]}; };
  const auto row = [&](int64_t slot) { return int64_t{sorted.positions[static_cast<size_t>(slot)]}; };
  const auto slot_of = [&](int64_t at) { return int64_t{sorted.slots[static_cast<size_t>(at)]}; };
  // Expert e's contribution to column c of token n: its row, or its default vector.
  const auto part = [&](int64_t n, int64_t e, int64_t c) {
    for (int64_t slot = n * kK; slot < (n + 1) * kK; ++slot)
      if (expert(slot) == e) return rows(row(slot) * kC + c);
    return vectors(e * kC + c);
  };
  expect("y", y, 1e-2, [&](int64_t i) {
    return sum_of(kK, [&](int64_t k) {
      const int64_t slot = i / kC * kK + k;
      return gates(slot) * rows(row(slot) * kC + i % kC);
    });
  });
  expect("default y", filled, 1e-2, [&](int64_t i) {
    return sum_of(kE, [&](int64_t e) { return probs(i / kC * kE + e) * part(i / kC, e, i % kC); });
  });
  expect("drows", drows, 1e-2, [&](int64_t i) {
    const int64_t slot = slot_of(i / kC);
    return gates(slot) * dy(slot / kK * kC + i % kC);
  });
  expect("default drows", filled_drows, 1e-2, [&](int64_t i) {
    const int64_t slot = slot_of(i / kC);
    return probs(slot / kK * kE + expert(slot)) * dy(slot / kK * kC + i % kC);
  });
  expect("dgates", dgates, 1e-4, [&](int64_t slot) {
    return sum_of(kC, [&](int64_t c) { return dy(slot / kK * kC + c) * rows(row(slot) * kC + c); });
  });
  expect("dprobs", dprobs, 1e-4, [&](int64_t i) {
    return sum_of(kC, [&](int64_t c) { return dy(i / kE * kC + c) * part(i / kE, i % kE, c); });
  });
  expect("average", average, 1e-4, [&](int64_t i) {
    const int64_t first = sorted.offsets[static_cast<size_t>(i / kC)];
    const int64_t count = sorted.offsets[static_cast<size_t>(i / kC) + 1] - first;
    return (1 - kBeta) / static_cast<double>(count) *
           sum_of(count, [&](int64_t r) { return gates(slot_of(first + r)) * rows((first + r) * kC + i % kC); });
  });
}

TEST_P(RealSizeMemory, Adamw) {
  constexpr AdamwConstants kConstants{.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1};
  constexpr double kRate = 1e-3, kScale = 0.5;
  const Sampled first(*ops_, DType::f32, {kF, kC}, 1), second(*ops_, DType::f32, {kF, kC}, 2);
  const DeviceTensor param(*ops_, real_, {kF, kC}), master(*ops_, DType::f32, {kF, kC});
  const DeviceTensor m(*ops_, DType::f32, {kF, kC}), v(*ops_, DType::f32, {kF, kC});
  const DeviceTensor scale(*ops_, DType::f32, {1}, {static_cast<float>(kScale)});
  std::vector<std::unique_ptr<DeviceTensor>> rates;
  for (const int64_t step : {1, 2}) {
    std::vector<float> numbers;
    for (const double rate : adamw_rates(kRate, kConstants, step)) numbers.push_back(static_cast<float>(rate));
    rates.push_back(std::make_unique<DeviceTensor>(*ops_, DType::f32, std::initializer_list<int64_t>{3}, numbers));
  }
  const Tensor copy = real_ == DType::bf16 ? static_cast<const Tensor&>(master) : Tensor();
  run_twice({&param, &master, &m, &v}, [&] {
    ops_->adamw(param, copy, m, v, first, scale, *rates[0], kConstants);
    ops_->adamw(param, copy, m, v, second, scale, *rates[1], kConstants);
  });
  const auto after = [&](int64_t i) {  // m, v and the weight
    std::array<double, 3> now = {};
    auto& [mean, square, weight] = now;
    for (const int64_t step : {1, 2}) {
      const double g = kScale * (step == 1 ? first(i) : second(i));
      const auto [rate, m_rate, v_factor] = adamw_rates(kRate, kConstants, step);
      mean = kConstants.beta1 * mean + (1 - kConstants.beta1) * g;
      square = kConstants.beta2 * square + (1 - kConstants.beta2) * g * g;
      weight -=
          m_rate * mean / (std::sqrt(v_factor * square) + kConstants.eps) + rate * kConstants.weight_decay * weight;
    }
    return now;
  };
  expect("m", m, 1e-5, [&](int64_t i) { return after(i)[0]; });
  expect("v", v, 1e-5, [&](int64_t i) { return after(i)[1]; });
  expect("param", param, 1e-2, [&](int64_t i) { return after(i)[2]; });
  if (real_ == DType::bf16) expect("master", master, 1e-5, [&](int64_t i) { return after(i)[2]; });
}

INSTANTIATE_TEST_SUITE_P(Ops, RealSizeMemory, ::testing::Values(RealBackend{DType::bf16}, RealBackend{DType::f32}),
                         backend_name);

}  // namespace
}  // namespace gptmoe
