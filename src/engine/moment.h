#pragma once
// A moment of the optimizer: how it is kept between steps (optimizer.state_dtype), and its values in stat during an
// update.
//
// A moment kept in bf16 or in 8-bit codes is widened to scratch memory a part at a time, updated there, and rounded
// back randomly (round_randomly, encode_blocks). Rounding to the nearest number would lose all small changes: a second
// moment with the decay 0.999 could never fall.
#include <functional>
#include <vector>

#include "memory/coded_elements.h"
#include "memory/param_table.h"
#include "memory/pass.h"

namespace gptmoe {

// Which random numbers round a moment. These values must not change, since resumed runs depend on them.
enum class RoundingStream : int64_t { first_moment = 0, second_moment = 1 };

// The elements whose moments optimizer.state_dtype "8bit" keeps in codes: the matrices that layers use in their compute
// type, each with the padding behind it up to the end of its last block. Norms, biases and routers are not among them.
// Neither is a matrix that does not start at a multiple of kBlockElements, or whose last block holds elements of
// another row. Rows for which `excluded` is true are left out. The rows do not depend on the number of ranks.
Partition coded_rows(const ParamTable& params, const std::vector<bool>& excluded);

class Moment {
 public:
  // A second moment has no sign.
  explicit Moment(RoundingStream stream) : stream_(stream) {}

  // Allocates the elements in `held`: those in `coded` as codes, the others in `kept_in`, which is bf16 or stat.
  // allocate() may run again after commit().
  void allocate(Arena& arena, const Partition& held, const Partition& coded, DType kept_in, DType stat);

  // Calls visit(offset, count) for consecutive parts of the elements [first, first + total) of the table that this rank
  // holds, each kept in one way. A part that is kept in less than stat has at most 2^20 elements, which bounds the
  // scratch memory.
  void for_each_part(int64_t first, int64_t total, const std::function<void(int64_t, int64_t)>& visit) const;

  // A part during an update.
  class Part {
   public:
    const Tensor& values() const { return values_; }  // in stat, for ops to update
    // Stores the updated values. `place` is the first element's (ParamTable::place()), and step_1 (stat) is the number
    // of the step.
    void store(const Pass& pass, const Tensor& step_1, int64_t place) const;

   private:
    friend class Moment;
    Tensor kept_, scales_, values_;  // with scales, `kept_` are codes
    RoundingStream stream_ = RoundingStream::first_moment;
  };
  // The part that for_each_part() visits. Widened values are allocated in `frame`.
  Part part(const Pass& pass, Scratch::Frame& frame, int64_t offset, int64_t count) const;

  const Tensor& values() const { return values_; }  // the elements that are not coded
  const CodedElements& coded() const { return coded_; }

 private:
  bool has_sign() const { return stream_ == RoundingStream::first_moment; }

  RoundingStream stream_;
  DType stat_ = DType::f32;
  Partition held_;  // the elements in values_
  Tensor values_;
  CodedElements coded_;
};

}  // namespace gptmoe
