#pragma once
// Copies between global and shared memory that one thread starts for a whole block. They belong to the async proxy, as
// the operands of wgmma do. Compute capability 9.0a.
#include <cuda.h>

#include "kernels/cuda/hopper/mbarrier.cuh"

namespace gptmoe::cuda {

// Makes the calling thread's earlier accesses to shared memory visible to bulk copies and to wgmma.
__device__ inline void fence_async_proxy() {
#ifdef GPTMOE_SIMT
  ::simt::fence_async_proxy();
#else
  asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
#endif
}

// Copies `bytes` bytes, and takes them off the bytes that the barrier's phase expects. The addresses and `bytes` are
// multiples of 16. Nothing checks the end of a tensor.
__device__ inline void bulk_load(void* to, const void* from, uint32_t bytes, Mbarrier* barrier) {
#ifdef GPTMOE_SIMT
  ::simt::bulk_load(to, from, bytes, barrier);
#else
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];\n" ::"r"(
                   shared_address(to)),
               "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(shared_address(barrier))
               : "memory");
#endif
}

// Copies the box of a two-dimensional tensor map that begins at element (x, y), x along the rows, to a multiple of 128
// bytes. Elements outside the tensor become zeros, and count as bytes.
__device__ inline void tensor_load(void* to, const CUtensorMap& map, int x, int y, Mbarrier* barrier) {
#ifdef GPTMOE_SIMT
  ::simt::tensor_load(to, map, {x, y}, barrier);
#else
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];\n" ::"r"(
          shared_address(to)),
      "l"(&map), "r"(x), "r"(y), "r"(shared_address(barrier))
      : "memory");
#endif
}

// The same for a three-dimensional map; the box begins at element (x, y, z).
__device__ inline void tensor_load(void* to, const CUtensorMap& map, int x, int y, int z, Mbarrier* barrier) {
#ifdef GPTMOE_SIMT
  ::simt::tensor_load(to, map, {x, y, z}, barrier);
#else
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], [%5];\n" ::
          "r"(shared_address(to)),
      "l"(&map), "r"(x), "r"(y), "r"(z), "r"(shared_address(barrier))
      : "memory");
#endif
}

// Copies from shared memory to the box that begins at element (x, y). Elements outside the tensor are not written. The
// copy belongs to the group that the thread's next bulk_commit() closes.
__device__ inline void tensor_store(const CUtensorMap& map, int x, int y, const void* from) {
#ifdef GPTMOE_SIMT
  ::simt::tensor_store(map, {x, y}, from);
#else
  asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];\n" ::"l"(&map), "r"(x),
               "r"(y), "r"(shared_address(from))
               : "memory");
#endif
}
__device__ inline void bulk_commit() {
#ifdef GPTMOE_SIMT
  ::simt::bulk_commit();
#else
  asm volatile("cp.async.bulk.commit_group;\n");
#endif
}
// Waits until all but the thread's latest `kGroups` groups have read their shared memory, which is free then.
template <int kGroups>
__device__ inline void bulk_wait_read() {
#ifdef GPTMOE_SIMT
  ::simt::bulk_wait_read(kGroups);
#else
  asm volatile("cp.async.bulk.wait_group.read %0;\n" ::"n"(kGroups) : "memory");
#endif
}

}  // namespace gptmoe::cuda
