#pragma once
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "base/check.h"
#include "kernels/cpu/real.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

// Work memory that grows to the largest request and is kept, so that kernels do not allocate in the steady state.
// Declare it `static thread_local`; the result of get() is valid until the next get().
class ThreadBuffer {
 public:
  // Returns at least `count` elements, aligned to 64 bytes, with undefined contents.
  Real* get(int64_t count) {
    if (count > capacity_) {
      memory_.reset();
      capacity_ = (count + kUnit - 1) / kUnit * kUnit;
      memory_.reset(static_cast<Real*>(std::aligned_alloc(64, static_cast<size_t>(capacity_) * sizeof(Real))));
      if (!memory_) throw Failure("out of memory for a kernel's work buffer");
    }
    return memory_.get();
  }

 private:
  static constexpr int64_t kUnit = 64 / sizeof(Real);
  struct Free {
    void operator()(Real* p) const { std::free(p); }
  };
  std::unique_ptr<Real, Free> memory_;
  int64_t capacity_ = 0;
};

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
