#pragma once
// What the two implementations of attention share: attention.cpp and attention_bf16.cpp.
#include <algorithm>
#include <limits>

#include "base/tensor.h"
#include "kernels/cpu/real.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

constexpr Real kMinusInfinity = -std::numeric_limits<Real>::infinity();
// The initial value of a running maximum: below every score, but finite, so a block without visible keys changes
// nothing.
constexpr Real kLowest = std::numeric_limits<Real>::lowest();

struct AttentionShape {
  int64_t B, T, H, G, S, D;
  Real scale;
  const int32_t* starts;  // (B, T); null: every query sees the keys from 0 on
};

inline AttentionShape attention_shape(const Tensor& out_BTHD, const Tensor& qkv_BTSD, const Tensor& starts_BT) {
  AttentionShape s;
  s.B = qkv_BTSD.size(0), s.T = qkv_BTSD.size(1), s.S = qkv_BTSD.size(2), s.D = qkv_BTSD.size(3);
  s.H = out_BTHD.size(2), s.G = (s.S - s.H) / 2;
  s.scale = Real{1} / std::sqrt(static_cast<Real>(s.D));
  s.starts = starts_BT.present() ? starts_BT.as<int32_t>() : nullptr;
  return s;
}

// The first key that each query of a sequence sees.
class Starts {
 public:
  Starts(const AttentionShape& s, int64_t b) : starts_(s.starts ? s.starts + b * s.T : nullptr), last_(s.T - 1) {}
  // A padding query after the last query gets the last query's start.
  int64_t operator[](int64_t query) const { return starts_ ? starts_[std::min(query, last_)] : 0; }

 private:
  const int32_t* starts_;
  int64_t last_;
};

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
