#pragma once
// The instructions of compute capability 9.0a that kernels/cuda/hopper wraps. Each follows the PTX ISA, and a kernel
// that breaks a rule of the PTX ISA gets a KernelError. In detail:
//   * wgmma reads shared memory when it is issued. The wait for it compares its operands with what it read. A
//     difference means that a stage was reused too early. Sums are NaNs until the wait.
//   * wgmma_fence() is needed before the first product and after each wait that completed one. This is stricter than
//     the PTX ISA, which requires it only if registers were accessed. If A is in registers, a write to them between the
//     fence and the product goes unnoticed.
//   * The warps of a warpgroup run independently, but must execute the same instructions.
//   * Timing decides when a bulk copy arrives: when no thread can run (late), when it is issued (early), or at a random
//     time (interleaved).
//   * The async proxy has its own view of shared memory, which fence_async_proxy() refreshes. A fence covers all writes
//     before it, those of other threads too. A GPU may require a fence by each thread that wrote.
#include <cuda.h>

#include <cstdint>
#include <initializer_list>

namespace simt {

// Descriptors and swizzles use addresses in a window of shared memory. The block's memory begins at this address,
// because the system takes the first 1024 bytes of the window.
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

// The value of sums between wgmma and the wait for it: a NaN.
constexpr uint32_t kSumPoison = 0xFFC0DEAD;

}  // namespace simt
