#pragma once
// The memory that holds tensors: the host's or a device's.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/tensor.h"

namespace gptmoe {

// The host's copy of a small tensor. The copy is taken in order with the work of the memory's backend, and the host
// waits only when it reads the copy.
class Snapshot {
 public:
  virtual ~Snapshot() = default;
  // Replaces the previous copy. `from` has at most as many bytes as the snapshot was made for.
  virtual void take(const Tensor& from) = 0;
  // The elements of the copied f32 or f64 tensor.
  virtual std::vector<double> values() = 0;
};

class Memory {
 public:
  virtual ~Memory() = default;
  // Whether the host can read and write this memory through pointers.
  virtual bool on_host() const = 0;
  // For messages: "memory", "GPU memory".
  virtual const char* name() const = 0;

  // Allocates `bytes` bytes of zeros, aligned to at least Arena::kAlignment. Returns nullptr if there is no room.
  virtual void* allocate(int64_t bytes) = 0;
  virtual void release(void* memory, int64_t bytes) = 0;
  // Bytes that allocate() can still give in total; -1 if the system does not say.
  virtual int64_t available() const = 0;

  // Copies a whole tensor from or to the host, in order with the work queued on the memory's backend. On return from
  // upload(), `from` may be reused; on return from download(), `to` holds the values.
  virtual void upload(const Tensor& to, const void* from) = 0;
  virtual void download(void* to, const Tensor& from) = 0;
  // Makes a snapshot with room for `bytes` bytes; this Memory must outlive the snapshot.
  virtual std::unique_ptr<Snapshot> make_snapshot(int64_t bytes) = 0;
};

// The host's own memory: anonymous pages, huge ones where the system has them.
Memory& host_memory();

// Copies the elements of `to` from `from`, converted to the dtype of `to`: f32 or f64 (exact), or bf16 (rounded).
void upload_floats(Memory& memory, const Tensor& to, const float* from);
// Copies the elements of `to`, a small f32 or f64 tensor, from `from`.
void upload_values(Memory& memory, const Tensor& to, const double* from);
// The `count` elements of dtype f32, f64 or bf16 that the host's memory holds at `from`.
std::vector<double> values_at(const void* from, DType dtype, int64_t count);
// The elements of an f32, f64 or bf16 tensor.
std::vector<double> download_values(Memory& memory, const Tensor& from);

// Calls visit(const void* data, int64_t bytes) with all of a tensor's bytes in order: in one call if the host can
// access the bytes, else in pieces of kHostPartBytes.
constexpr int64_t kHostPartBytes = int64_t{16} << 20;
template <typename Visit>
void for_each_host_part(Memory& memory, const Tensor& tensor, Visit&& visit) {
  if (memory.on_host()) return visit(static_cast<const void*>(tensor.data()), tensor.bytes());
  const int64_t part_count = kHostPartBytes / dtype_bytes(tensor.dtype());
  const Tensor flat = tensor.view({tensor.count()});
  std::vector<char> part;
  for (int64_t first = 0; first < flat.count(); first += part_count) {
    const Tensor piece = flat.rows(first, std::min(part_count, flat.count() - first));
    part.resize(static_cast<size_t>(piece.bytes()));
    memory.download(part.data(), piece);
    visit(static_cast<const void*>(part.data()), piece.bytes());
  }
}

}  // namespace gptmoe
