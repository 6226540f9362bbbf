#pragma once
// One simulated GPU thread: a function that can be left in the middle and entered again. x86-64 only.
#include <cstddef>
#include <functional>
#include <memory>

namespace simt {

class Fiber {
 public:
  Fiber() = default;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Prepares to run `body` from its beginning; `body` must not throw. If an earlier body has not returned, it is
  // abandoned: its stack is reused without unwinding. So a body must not hold anything that owns memory while it calls
  // leave().
  void start(size_t stack_bytes, std::function<void()> body);
  // Runs the body until it calls leave() or returns.
  void enter();
  // Returns from the body to the caller of enter().
  void leave();

 private:
  static void run(Fiber* self);

  std::unique_ptr<std::byte[]> stack_;
  size_t stack_bytes_ = 0;
  bool abandoned_ = false;
  std::function<void()> body_;
  void* inside_ = nullptr;  // the saved stack pointers; that of the running side is out of date
  void* outside_ = nullptr;
#ifdef GPTMOE_ASAN  // AddressSanitizer tracks stacks
  void* outside_fake_stack_ = nullptr;
  void* inside_fake_stack_ = nullptr;
  const void* outside_stack_ = nullptr;
  size_t outside_stack_bytes_ = 0;
#endif
};

}  // namespace simt
