// The rules of mbarriers and bulk copies on the simulated Hopper: each broken rule is found.
#include <gtest/gtest.h>

#include <vector>

#include "hopper_block.h"
#include "kernels/cuda/hopper/bulk_copy.cuh"
#include "simt/device_memory.h"

namespace gptmoe::cuda {
namespace {

class HopperCopyTiming : public HopperTiming {};
INSTANTIATE_TEST_SUITE_P(HopperRules, HopperCopyTiming, kHopperTimings);

// ---- mbarrier

TEST(HopperCopyRules, PhasesEndByArrivalsAndBytes) {
  alignas(16) static const char from[64] = {1};
  std::vector<int> order;
  const auto body = [&](char* shared) {
    auto* barrier = reinterpret_cast<Mbarrier*>(shared + 64);
    if (threadIdx.x == 0) {
      mbarrier_init(barrier, 2);
      fence_async_proxy();
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      mbarrier_wait(barrier, 1);  // there is no phase before the first
      bulk_load(shared, from, 64, barrier);
      mbarrier_arrive_expect(barrier, 64);
      order.push_back(0);
      mbarrier_wait(barrier, 0);
      order.push_back(1);
      mbarrier_arrive(barrier);
    } else if (threadIdx.x == 32) {
      mbarrier_arrive(barrier);
      mbarrier_wait(barrier, 0);
      EXPECT_EQ(shared[0], 1);
      mbarrier_arrive(barrier);
      mbarrier_wait(barrier, 1);
      order.push_back(2);
    }
  };
  EXPECT_EQ(hopper_fault(64, 72, body), "nothing");
  EXPECT_EQ(order, (std::vector{0, 1, 2}));
}

// One thread and one barrier that expects an arrival.
std::string fault_at_barrier(const std::function<void(Mbarrier*)>& use) {
  return hopper_fault(1, 64, [&](char* shared) {
    auto* barrier = reinterpret_cast<Mbarrier*>(shared);
    mbarrier_init(barrier, 1);
    fence_async_proxy();
    use(barrier);
  });
}

TEST(HopperCopyRules, MisusedBarriersAreFound) {
  alignas(16) static const char from[32] = {1};
  expect_fault(hopper_fault(1, 64, [](char* shared) { mbarrier_arrive(reinterpret_cast<Mbarrier*>(shared)); }),
               "is not initialised");
  expect_fault(hopper_fault(1, 64, [](char* shared) { mbarrier_init(reinterpret_cast<Mbarrier*>(shared + 4), 1); }),
               "not a multiple of 8");
  expect_fault(fault_at_barrier([](Mbarrier* barrier) { mbarrier_init(barrier, 1); }), "an mbarrier already");
  expect_fault(fault_at_barrier([](Mbarrier* barrier) { mbarrier_init(barrier + 1, 0); }), "0 arrivals");
  expect_fault(fault_at_barrier([](Mbarrier* barrier) {
                 *barrier = 0;
                 mbarrier_arrive(barrier);
               }),
               "was overwritten");
  expect_fault(fault_at_barrier([](Mbarrier* barrier) {
                 mbarrier_arrive(barrier);
                 mbarrier_arrive(barrier);
               }),
               "no wait saw the end of phase 0");
  expect_fault(fault_at_barrier([](Mbarrier* barrier) {
                 mbarrier_arrive_expect(barrier, 32);
                 mbarrier_arrive(barrier);
               }),
               "one arrival too many");
  expect_fault(fault_at_barrier([](Mbarrier* barrier) {
                 mbarrier_arrive(barrier);
                 mbarrier_wait(barrier, 0);
                 mbarrier_wait(barrier, 0);
               }),
               "has waited for the end of phase 0 before");
  expect_fault(fault_at_barrier([](Mbarrier* barrier) {
                 mbarrier_arrive_expect(barrier, 48);
                 bulk_load(barrier + 2, from, 32, barrier);
                 mbarrier_wait(barrier, 0);
               }),
               "waits for phase 0 of an mbarrier (0 arrivals and 16 bytes pending)");
  expect_fault(fault_at_barrier([](Mbarrier* barrier) { mbarrier_arrive_expect(barrier, 1 << 20); }), "out of range");
}

// ---- Bulk copies

CUresult encode(void* tensor, CUtensorMapDataType type, cuuint64_t columns, cuuint64_t stride, cuuint32_t box_columns,
                cuuint32_t box_rows, cuuint32_t step, CUtensorMapSwizzle swizzle) {
  CUtensorMap map;
  const cuuint64_t sizes[] = {columns, 4}, strides[] = {stride};
  const cuuint32_t box[] = {box_columns, box_rows}, steps[] = {step, step};
  return cuTensorMapEncodeTiled(&map, type, 2, tensor, sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                swizzle, CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
}

TEST(HopperCopyRules, TensorMapsAreCheckedByTheDriversRules) {
  alignas(16) static char tensor[4096];
  constexpr auto kBf16 = CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, kF32 = CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
  constexpr auto kNone = CU_TENSOR_MAP_SWIZZLE_NONE, k128 = CU_TENSOR_MAP_SWIZZLE_128B;
  EXPECT_EQ(encode(tensor, kBf16, 60, 128, 64, 4, 1, k128), CUDA_SUCCESS);
  EXPECT_EQ(encode(tensor, kF32, 30, 128, 32, 256, 1, k128), CUDA_SUCCESS);
  constexpr auto kInvalid = CUDA_ERROR_INVALID_VALUE;
  EXPECT_EQ(encode(tensor + 8, kBf16, 60, 128, 64, 4, 1, k128), kInvalid) << "address";
  EXPECT_EQ(encode(tensor, kBf16, 60, 120, 64, 4, 1, k128), kInvalid) << "stride of 120 bytes";
  EXPECT_EQ(encode(tensor, kBf16, 60, 112, 64, 4, 1, k128), kInvalid) << "stride less than a row";
  EXPECT_EQ(encode(tensor, kBf16, 0, 128, 64, 4, 1, k128), kInvalid) << "empty";
  EXPECT_EQ(encode(tensor, kBf16, 60, uint64_t{1} << 40, 64, 4, 1, k128), kInvalid) << "stride of 2^40 bytes";
  EXPECT_EQ(encode(tensor, kBf16, 60, 128, 72, 4, 1, k128), kInvalid) << "box wider than the swizzle";
  EXPECT_EQ(encode(tensor, kBf16, 60, 128, 60, 4, 1, kNone), kInvalid) << "box of 120 bytes";
  EXPECT_EQ(encode(tensor, kBf16, 60, 128, 64, 257, 1, k128), kInvalid) << "257 rows";
  EXPECT_EQ(encode(tensor, kBf16, 60, 128, 64, 0, 1, k128), kInvalid) << "no rows";
  EXPECT_EQ(encode(tensor, kBf16, 60, 128, 64, 4, 9, k128), kInvalid) << "step of 9";
  EXPECT_EQ(encode(tensor, kBf16, 60, 128, 64, 4, 0, k128), kInvalid) << "step of 0";
}

// One thread stores a swizzled box of 64 x 8 to the last rows and columns of a tensor of 72 x 10.
std::string fault_in_store(std::vector<uint16_t>& tensor, bool fence, bool wait, bool touch) {
  const CUtensorMap map = hopper_map(tensor.data(), 72, 10, 144, 64, 8, CU_TENSOR_MAP_SWIZZLE_128B);
  return hopper_fault(1, 1024, [&](char* shared) {
    auto* elements = reinterpret_cast<uint16_t*>(shared);
    for (int row = 0; row < 8; ++row)
      for (int unit = 0; unit < 8; ++unit)
        for (int i = 0; i < 8; ++i)
          elements[row * 64 + (unit ^ row) * 8 + i] = static_cast<uint16_t>(row * 64 + unit * 8 + i + 1);
    if (fence) fence_async_proxy();
    tensor_store(map, 40, 5, shared);
    bulk_commit();
    if (touch) elements[17] = 0;
    if (wait) bulk_wait_read<0>();
  });
}

TEST_P(HopperCopyTiming, StoresLeaveOutWhatIsOutside) {
  std::vector<uint16_t> tensor(720);
  ASSERT_EQ(fault_in_store(tensor, true, true, false), "nothing");
  for (int row = 0; row < 10; ++row)
    for (int column = 0; column < 72; ++column)
      EXPECT_EQ(tensor[static_cast<size_t>(row * 72 + column)],
                row < 5 || column < 40 ? 0 : (row - 5) * 64 + column - 40 + 1);
}

TEST_P(HopperCopyTiming, MisusedStoresAreFound) {
  std::vector<uint16_t> tensor(720);
  expect_fault(fault_in_store(tensor, false, true, false), "a bulk store reads byte 0 of shared memory, which threads");
  expect_fault(fault_in_store(tensor, true, false, false), "without waiting for a bulk store");
  expect_fault(fault_in_store(tensor, true, true, true), "a bulk store was still reading it");
}

// One thread with an mbarrier that expects one arrival. `from` holds 2048 bytes.
std::string fault_in_copy(const std::function<void(char* shared, const char* from, Mbarrier*)>& use) {
  alignas(128) static const char from[2048] = {1};
  return hopper_fault(1, 4096, [&](char* shared) {
    auto* barrier = reinterpret_cast<Mbarrier*>(shared + 2048);
    mbarrier_init(barrier, 1);
    fence_async_proxy();
    use(shared, from, barrier);
  });
}

TEST(HopperCopyRules, MisusedCopiesAreFound) {
  const auto plain = [](size_t to, size_t first, uint32_t bytes) {
    return fault_in_copy([=](char* shared, const char* from, Mbarrier* barrier) {
      bulk_load(shared + to, from + first, bytes, barrier);
      mbarrier_arrive_expect(barrier, bytes);
      mbarrier_wait(barrier, 0);
    });
  };
  EXPECT_EQ(plain(16, 32, 48), "nothing");
  expect_fault(plain(8, 0, 16), "must be multiples of 16 bytes");
  expect_fault(plain(0, 8, 16), "must be multiples of 16 bytes");
  expect_fault(plain(0, 0, 24), "must be multiples of 16 bytes");
  expect_fault(plain(0, 0, 0), "must be multiples of 16 bytes");
  expect_fault(fault_in_copy([](char* shared, const char* from, Mbarrier* barrier) {
                 bulk_load(shared, from, 64, barrier);
                 bulk_load(shared + 48, from, 64, barrier);
               }),
               "two bulk copies write byte 48");
  expect_fault(fault_in_copy([](char* shared, const char* from, Mbarrier* barrier) {
                 shared[20] = 1;
                 bulk_load(shared, from, 64, barrier);
               }),
               "a bulk copy overwrites byte 0 of shared memory, which threads wrote without fence.proxy.async");
  expect_fault(fault_in_copy([](char* shared, const char* from, Mbarrier* barrier) {
                 mbarrier_arrive_expect(barrier, 64);
                 bulk_load(shared, from, 64, barrier);
               }),
               "the block ended while a bulk copy to its shared memory was under way");
}

TEST(HopperCopyRules, MisusedTensorMapsAreFound) {
  std::vector<__uint128_t> tensor(64);
  const auto load = [](size_t to, const CUtensorMap& map) {
    return fault_in_copy([&, to](char* shared, const char*, Mbarrier* barrier) {
      tensor_load(shared + to, map, 0, 0, barrier);
      mbarrier_arrive_expect(barrier, 128);
      mbarrier_wait(barrier, 0);
    });
  };
  const CUtensorMap map = hopper_map(tensor.data(), 8, 8, 16, 8, 8, CU_TENSOR_MAP_SWIZZLE_NONE);
  EXPECT_EQ(load(128, map), "nothing");
  expect_fault(load(64, map), "must be a multiple of 128 bytes");
  expect_fault(hopper_fault(1, 1024, [&](char* shared) { tensor_store(map, 0, 0, shared + 64); }),
               "must be a multiple of 128 bytes");
  expect_fault(load(0, CUtensorMap{}), "tensor map was never encoded");
  expect_fault(load(0, hopper_map(tensor.data(), 8, 8, 16, 8, 8, CU_TENSOR_MAP_SWIZZLE_32B)),
               "narrower than its swizzle");
  CUtensorMap line;
  const cuuint64_t size = 64;
  const cuuint32_t box = 64, step = 1;
  ASSERT_EQ(cuTensorMapEncodeTiled(&line, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 1, tensor.data(), &size, nullptr, &box,
                                   &step, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_NONE,
                                   CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
            CUDA_SUCCESS);
  expect_fault(load(0, line), "map of rank 1");
}

// One thread writes bytes of 0xFF, then bytes of 0, and stores a box of 128 bytes.
std::string fault_in_box(size_t ones, size_t zeros) {
  std::vector<__uint128_t> tensor(8);
  const CUtensorMap map = hopper_map(tensor.data(), 8, 8, 16, 8, 8, CU_TENSOR_MAP_SWIZZLE_NONE);
  return hopper_fault(1, 128, [&](char* shared) {
    for (size_t i = 0; i < ones + zeros; ++i) shared[i] = i < ones ? '\xFF' : 0;
    fence_async_proxy();
    tensor_store(map, 0, 0, shared);
    bulk_commit();
    bulk_wait_read<0>();
  });
}

TEST(HopperCopyRules, ABoxThatIsPartlyUnwrittenIsFound) {
  EXPECT_EQ(fault_in_box(0, 128), "nothing");
  expect_fault(fault_in_box(0, 64), "a bulk store reads byte 64 of shared memory, which nothing has written");
  expect_fault(fault_in_box(0, 124), "a bulk store reads byte 124 of shared memory, which nothing has written");
#ifdef __clang__  // which traces accesses
  EXPECT_EQ(fault_in_box(128, 0), "nothing");
  EXPECT_EQ(fault_in_box(32, 96), "nothing");
#endif
}

// A row tail that is read by a plain bulk copy, which knows no end of a tensor.
TEST_P(HopperCopyTiming, ReadingPastTheEndIsFound) {
  void* const tensor = simt::allocate_device(4096);
  const auto load = [&](size_t first) {
    return hopper_fault(1, 4096, [&](char* shared) {
      auto* barrier = reinterpret_cast<Mbarrier*>(shared + 2048);
      mbarrier_init(barrier, 1);
      fence_async_proxy();
      mbarrier_arrive_expect(barrier, 1024);
      bulk_load(shared, static_cast<const char*>(tensor) + first, 1024, barrier);
      mbarrier_wait(barrier, 0);
    });
  };
  EXPECT_EQ(load(3072), "nothing");
  expect_fault(load(3088), "reads past the end of its tensor");
  simt::release_device(tensor);
}

// Rows past the end of a segment that are inside the tensor come as they are, and only rows past its end are zeros.
TEST_P(HopperCopyTiming, RowsOfTheNextSegmentAreNotZeros) {
  std::vector<uint16_t> tensor(16 * 8, 7);
  const CUtensorMap map = hopper_map(tensor.data(), 8, 16, 16, 8, 16, CU_TENSOR_MAP_SWIZZLE_NONE);
  std::vector<uint16_t> box(128);
  simt::launch({1}, {1}, 512, [&] {
    auto* shared = shared_memory<char>();
    auto* barrier = reinterpret_cast<Mbarrier*>(shared + 256);
    mbarrier_init(barrier, 1);
    fence_async_proxy();
    mbarrier_arrive_expect(barrier, 256);
    tensor_load(shared, map, 0, 10, barrier);  // a segment of rows 10 to 12
    mbarrier_wait(barrier, 0);
    std::memcpy(box.data(), shared, 256);
  });
  for (size_t i = 0; i < box.size(); ++i) EXPECT_EQ(box[i], i / 8 < 6 ? 7 : 0) << i;
}

}  // namespace
}  // namespace gptmoe::cuda
