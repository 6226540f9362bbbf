#pragma once
// Memory for a run: one allocation per purpose, made once at start-up.
//
// An Arena has two phases. Before commit() it only counts: allocate() returns tensors without memory, so the code that
// lays out a run also plans it (`gptmoe plan`). commit() allocates the memory, zeroed, on the host or a device, and
// rewinds; the caller then repeats its allocations and gets the same layout with real pointers.
#include <cstdint>
#include <initializer_list>
#include <string>

#include "base/memory.h"

namespace gptmoe {

class Arena {
 public:
  static constexpr int64_t kAlignment = 64;  // bytes: one cache line, one AVX-512 register

  explicit Arena(std::string name) : name_(std::move(name)) {}
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  Tensor allocate(DType dtype, std::initializer_list<int64_t> sizes);
  // Allocates high_water() bytes, zeroed, and rewinds to empty. `memory` must outlive the arena. Throws Failure if
  // `memory` has no room.
  void commit(Memory& memory = host_memory());
  bool committed() const { return base_ != nullptr; }

  const std::string& name() const { return name_; }
  int64_t used() const { return used_; }
  int64_t high_water() const { return high_water_; }
  // Sets used() back to `mark`, an earlier value of used(). Later allocations reuse the memory after the mark.
  void rewind(int64_t mark) { used_ = mark; }
  // The first byte of the memory.
  char* data() const { return base_; }

 private:
  std::string name_;
  Memory* memory_ = nullptr;
  char* base_ = nullptr;
  int64_t capacity_ = 0;
  int64_t used_ = 0;
  int64_t high_water_ = 0;
};

// Scratch memory as a stack: a Frame returns everything allocated during its life.
class Scratch : public Arena {
 public:
  explicit Scratch(std::string name = "scratch") : Arena(std::move(name)) {}

  class Frame {
   public:
    explicit Frame(Scratch& scratch) : scratch_(scratch), mark_(scratch.used()) {}
    ~Frame() { scratch_.rewind(mark_); }
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;
    Tensor allocate(DType dtype, std::initializer_list<int64_t> sizes) { return scratch_.allocate(dtype, sizes); }

   private:
    Scratch& scratch_;
    int64_t mark_;
  };
};

}  // namespace gptmoe
