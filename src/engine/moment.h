#pragma once
// A moment of the optimizer during an update: its values in stat, even if it is stored in bf16.
//
// A moment stored in bf16 is copied to scratch memory a part at a time, updated there, and rounded back randomly
// (round_randomly). Rounding to the nearest number would lose all changes below 2^-9 of the value: a second moment with
// the decay 0.999 could never fall.
#include <algorithm>

#include "memory/pass.h"

namespace gptmoe {

// Which random numbers round a moment. These values must not change, since resumed runs depend on them.
enum class RoundingStream : int64_t { first_moment = 0, second_moment = 1 };

class Moment {
 public:
  // `stored`: elements kept in bf16 or stat. The copy of bf16 elements is allocated in `frame`.
  Moment(const Pass& pass, Scratch::Frame& frame, const Tensor& stored) : stored_(stored), values_(stored) {
    const DType stat = pass.ops.statistics_dtype();
    if (stored.dtype() == stat) return;
    values_ = frame.allocate(stat, {stored.count()});
    pass.ops.cast(values_, stored);
  }
  // In stat, for ops to update.
  const Tensor& values() const { return values_; }
  // Stores the updated values. `first` is the first element's position in the ParamTable, and step_1 (stat) is the
  // number of the step.
  void store(const Pass& pass, const Tensor& step_1, int64_t first, RoundingStream stream) const {
    if (values_.dtype() != stored_.dtype())
      pass.ops.round_randomly(stored_, values_, step_1, first, static_cast<int64_t>(stream));
  }

 private:
  Tensor stored_, values_;
};

// Calls visit(first, count) for consecutive parts of `count` elements. Moments kept in bf16 have parts of 2^20
// elements, which bounds the scratch memory; others have one part.
template <typename Visit>
void for_each_moment_part(const Pass& pass, DType kept_in, int64_t count, Visit visit) {
  constexpr int64_t kPart = int64_t{1} << 20;
  const int64_t part = kept_in == pass.ops.statistics_dtype() ? count : kPart;
  for (int64_t first = 0; first < count; first += part) visit(first, std::min(part, count - first));
}

}  // namespace gptmoe
