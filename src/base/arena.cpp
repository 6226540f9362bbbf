#include "base/arena.h"

#include <sys/mman.h>

#include <algorithm>

namespace gptmoe {

Arena::~Arena() {
  if (base_) munmap(base_, static_cast<size_t>(capacity_));
}

Tensor Arena::allocate(DType dtype, std::initializer_list<int64_t> sizes) {
  Tensor out(base_ ? base_ + used_ : nullptr, dtype, sizes);
  const int64_t bytes = (out.bytes() + kAlignment - 1) / kAlignment * kAlignment;
  GPTMOE_CHECK(!base_ || used_ + bytes <= capacity_, "arena ", name_, " was planned with ", capacity_, " bytes");
  used_ += bytes;
  high_water_ = std::max(high_water_, used_);
  return out;
}

void Arena::commit() {
  GPTMOE_CHECK(!base_, "arena ", name_, " is committed already");
  capacity_ = std::max<int64_t>(high_water_, kAlignment);
  // Anonymous pages come zeroed; huge pages spare the TLB where the system offers them.
  void* memory =
      mmap(nullptr, static_cast<size_t>(capacity_), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    throw Failure(text("out of memory: arena ", name_, " needs ", capacity_ >> 20,
                       " MiB; lower train.micro_batch_size or the model's sizes"));
  madvise(memory, static_cast<size_t>(capacity_), MADV_HUGEPAGE);
  base_ = static_cast<char*>(memory);
  used_ = 0;
}

}  // namespace gptmoe
