#include "memory/arena.h"

#include <algorithm>

namespace gptmoe {

Arena::~Arena() {
  if (base_) memory_->release(base_, capacity_);
}

Tensor Arena::allocate(DType dtype, std::initializer_list<int64_t> sizes) {
  Tensor out(base_ ? base_ + used_ : nullptr, dtype, sizes);
  const int64_t bytes = (out.bytes() + kAlignment - 1) / kAlignment * kAlignment;
  GPTMOE_CHECK(!base_ || used_ + bytes <= capacity_, "arena ", name_, " was planned with ", capacity_, " bytes");
  used_ += bytes;
  high_water_ = std::max(high_water_, used_);
  return out;
}

void Arena::commit(Memory& memory) {
  GPTMOE_CHECK(!base_, "arena ", name_, " is committed already");
  capacity_ = std::max<int64_t>(high_water_, kAlignment);
  base_ = static_cast<char*>(memory.allocate(capacity_));
  if (!base_)
    throw Failure(text("out of ", memory.name(), ": arena ", name_, " needs ", capacity_ >> 20,
                       " MiB; lower train.micro_batch_size or the model's sizes"));
  memory_ = &memory;
  used_ = 0;
}

}  // namespace gptmoe
