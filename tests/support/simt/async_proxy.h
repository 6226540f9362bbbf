#pragma once
// The async proxy's view of a block's shared memory, and the bytes of it that copies and products are using.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace simt {

// Ranges of shared memory are offsets from its beginning. All functions throw KernelError.
class AsyncProxy {
 public:
  AsyncProxy(std::byte* memory, size_t bytes);

  void fence();
  size_t bytes() const { return view_.size(); }
  size_t offset_of(const void* address, const char* who) const;

  // Copies these bytes, which are whole words of four bytes, to `to`. Throws if threads have written one of them since
  // the last fence, if a copy is still writing one, or if nothing has written one of the words. A word of 0xFF bytes
  // counts as written only if its write was noted (shared_accesses.h). `who` is the reader's name for messages.
  void read(size_t offset, void* to, size_t count, const char* who) const;
  // Whether the bytes are still those in `expected`.
  bool unchanged(size_t offset, const void* expected, size_t count) const;
  void write(size_t offset, const void* from, size_t count);
  // Whether threads have written any of these bytes since the last fence.
  bool needs_fence(size_t offset, size_t count) const;

  // A copy writes these bytes until end_write(). Throws if a product or a copy is using them, or if threads have
  // written them since the last fence.
  void begin_write(size_t offset, size_t count);
  void end_write(size_t offset, size_t count);
  // A product or a store reads these bytes until end_read().
  void begin_read(size_t offset, size_t count);
  void end_read(size_t offset, size_t count);

 private:
  static constexpr size_t kUnit = 16;
  struct Users {
    int writers = 0, readers = 0;
  };
  void check_range(size_t offset, size_t count, const char* who) const;
  void add(size_t offset, size_t count, int Users::*which, int by);

  std::byte* memory_;
  std::vector<std::byte> view_;  // what the async proxy sees
  std::vector<Users> users_;     // for each unit
};

}  // namespace simt
