#pragma once
// The instructions of compute capability 9.0a that kernels/cuda/hopper wraps. Each follows the PTX ISA, and breaking a
// rule of it throws KernelError:
//   * wgmma reads shared memory when it is issued. The wait for it compares the operands with what it read: a
//     difference means that a stage was reused too early. Sums are poisoned with NaNs until the wait.
//   * wgmma_fence() is needed before the first product and after each wait that completed one. This is stricter than
//     the PTX ISA, which asks for it only where registers were touched. Nothing notices an A in registers that was
//     written between the fence and its product.
//   * Warps of a warpgroup run on their own, but must come to the same instructions.
//   * Bulk copies arrive as Timing says: late, only when no thread can run; early, when issued; interleaved, at random.
//   * The async proxy has its own view of shared memory, which fence_async_proxy() refreshes. The fence of one thread
//     covers the writes of all that came before it in time. A GPU may require a fence by each thread that wrote.
#include <cuda.h>

#include <cstdint>
#include <initializer_list>

namespace simt {

// Where shared memory begins in the window that descriptors and swizzles count from: the system takes the first 1024
// bytes of a block's memory.
constexpr uint32_t kWindowStart = 1024;
// The address of an operand in that window. Throws unless a descriptor can hold it and the two offsets.
uint32_t descriptor_address(const void* start, uint32_t leading, uint32_t stride);

void mbarrier_init(void* barrier, uint32_t arrivals);
void mbarrier_arrive(void* barrier, uint32_t expected_bytes);
bool mbarrier_try_wait(void* barrier, uint32_t parity);

void fence_async_proxy();
void bulk_load(void* to, const void* from, uint32_t bytes, void* barrier);
// The box begins at element `at`, which has one index for each of the map's dimensions, the innermost first.
void tensor_load(void* to, const CUtensorMap& map, std::initializer_list<int> at, void* barrier);
void tensor_store(const CUtensorMap& map, std::initializer_list<int> at, const void* from);
void bulk_commit();
void bulk_wait_read(int groups);

// One lane's operands of wgmma.m64nNk16.
struct Wgmma {
  float* d;
  int n;
  const uint32_t* a_registers;  // null: A is in shared memory
  uint64_t a, b;                // descriptors
  bool accumulate, mn_major_a, mn_major_b;
};
void wgmma(const Wgmma& operands);
void wgmma_fence();
void wgmma_commit();
void wgmma_wait(int groups);

bool elect_one();
void named_barrier(int id, int threads);
void set_registers(int count, bool more);

// What sums hold from wgmma to the wait for it: a NaN.
constexpr uint32_t kSumPoison = 0xFFC0DEAD;

}  // namespace simt
