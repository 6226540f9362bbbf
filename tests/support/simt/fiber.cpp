#include "simt/fiber.h"

#include <cstdint>
#include <utility>

#ifdef GPTMOE_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#ifndef __x86_64__
#error "the fibers switch stacks in x86-64 assembly"
#endif

// void simt_switch(void** save, void* to, Fiber* argument): saves the callee-saved registers on the current stack,
// switches to the stack `to`, and continues where that stack was left. A fiber's first function finds `argument` in
// rdi.
asm(R"(
.text
.globl simt_switch
.type simt_switch, @function
simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  movq %rdx, %rdi
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simt_switch, .-simt_switch
)");
extern "C" void simt_switch(void** save, void* to, simt::Fiber* argument);

namespace simt {

void Fiber::start(size_t stack_bytes, std::function<void()> body) {
#ifdef GPTMOE_ASAN
  if (abandoned_) __asan_unpoison_memory_region(stack_.get(), stack_bytes_);
#endif
  abandoned_ = true;  // until the body returns
  if (stack_bytes_ != stack_bytes) {
    stack_ = std::make_unique_for_overwrite<std::byte[]>(stack_bytes);
    stack_bytes_ = stack_bytes;
  }
  body_ = std::move(body);
  // Six registers, the return address, and one word that aligns the first function's stack as a call would.
  auto* top = reinterpret_cast<uintptr_t*>(reinterpret_cast<uintptr_t>(stack_.get() + stack_bytes) & ~uintptr_t{15});
  *--top = 0;
  *--top = reinterpret_cast<uintptr_t>(&Fiber::run);
  for (int i = 0; i < 6; ++i) *--top = 0;
  inside_ = top;
#ifdef GPTMOE_ASAN
  inside_fake_stack_ = nullptr;
#endif
}

void Fiber::run(Fiber* self) {
#ifdef GPTMOE_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &self->outside_stack_, &self->outside_stack_bytes_);
#endif
  self->body_();
  self->abandoned_ = false;
#ifdef GPTMOE_ASAN
  __sanitizer_start_switch_fiber(nullptr, self->outside_stack_, self->outside_stack_bytes_);
#endif
  simt_switch(&self->inside_, self->outside_, self);
  __builtin_unreachable();
}

void Fiber::enter() {
#ifdef GPTMOE_ASAN
  __sanitizer_start_switch_fiber(&outside_fake_stack_, stack_.get(), stack_bytes_);
#endif
  simt_switch(&outside_, inside_, this);
#ifdef GPTMOE_ASAN
  __sanitizer_finish_switch_fiber(outside_fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::leave() {
#ifdef GPTMOE_ASAN
  __sanitizer_start_switch_fiber(&inside_fake_stack_, outside_stack_, outside_stack_bytes_);
#endif
  simt_switch(&inside_, outside_, this);
#ifdef GPTMOE_ASAN
  __sanitizer_finish_switch_fiber(inside_fake_stack_, &outside_stack_, &outside_stack_bytes_);
#endif
}

}  // namespace simt
