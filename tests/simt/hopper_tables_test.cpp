// The layouts of wgmma and of bulk copies, compared with numbers worked out by hand from the tables of the PTX ISA.
#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "hopper_block.h"
#include "kernels/cuda/hopper/bulk_copy.cuh"
#include "kernels/cuda/hopper/tensor_maps.h"
#include "kernels/cuda/hopper/wgmma.cuh"

namespace gptmoe::cuda {
namespace {

uint16_t bits(float x) { return static_cast<uint16_t>(std::bit_cast<uint32_t>(x) >> 16); }

// "Swizzling modes": row r of a table lists the 16-byte units of the source at places 0 to 7 of the r-th line of 128
// bytes. The pattern begins at a multiple of the rows' bytes.
constexpr int kSwizzle32[2][8] = {{0, 1, 2, 3, 4, 5, 6, 7}, {1, 0, 3, 2, 5, 4, 7, 6}};
constexpr int kSwizzle64[4][8] = {
    {0, 1, 2, 3, 4, 5, 6, 7}, {1, 0, 3, 2, 5, 4, 7, 6}, {2, 3, 0, 1, 6, 7, 4, 5}, {3, 2, 1, 0, 7, 6, 5, 4}};
constexpr int kSwizzle128[8][8] = {{0, 1, 2, 3, 4, 5, 6, 7}, {1, 0, 3, 2, 5, 4, 7, 6}, {2, 3, 0, 1, 6, 7, 4, 5},
                                   {3, 2, 1, 0, 7, 6, 5, 4}, {4, 5, 6, 7, 0, 1, 2, 3}, {5, 4, 7, 6, 1, 0, 3, 2},
                                   {6, 7, 4, 5, 2, 3, 0, 1}, {7, 6, 5, 4, 3, 2, 1, 0}};

// Where a table puts byte `at` of the source, counted from the beginning of the pattern.
size_t by_table(SharedSwizzle swizzle, size_t at) {
  const size_t line = at / 128, unit = at % 128 / 16;
  const auto* row = swizzle == SharedSwizzle::bytes_32   ? kSwizzle32[line % 2]
                    : swizzle == SharedSwizzle::bytes_64 ? kSwizzle64[line % 4]
                                                         : kSwizzle128[line % 8];
  if (swizzle == SharedSwizzle::none) return at;
  const auto place = static_cast<size_t>(std::find(row, row + 8, static_cast<int>(unit)) - row);
  return line * 128 + place * 16 + at % 16;
}

TEST(HopperTables, DescriptorFields) {
  uint64_t first = 0, second = 0;
  simt::launch({1}, {1}, 4096, [&] {
    auto* shared = shared_memory<char>();
    first = matrix_descriptor(shared, 0, 0, SharedSwizzle::none);
    second = matrix_descriptor(shared + 1024 + 32, 0x4000, 0x3FFF0, SharedSwizzle::bytes_128);
  });
  EXPECT_EQ(first, 0x40u);  // shared memory begins at byte 1024: field 64 in bits 0-13
  // start 2080 = 16 * 0x82; leading 0x4000 = 16 * 0x400 in bits 16-29; stride 16 * 0x3FFF in bits 32-45; mode 1 in
  // 62-63
  EXPECT_EQ(second, uint64_t{0x4000'3FFF'0400'0082});
  const auto mode = [](SharedSwizzle swizzle) { return static_cast<uint64_t>(swizzle); };
  EXPECT_EQ(mode(SharedSwizzle::none), 0u);
  EXPECT_EQ(mode(SharedSwizzle::bytes_64), 2u);
  EXPECT_EQ(mode(SharedSwizzle::bytes_32), 3u);
}

TEST(HopperTables, AnUndefinedDescriptorBitIsAFault) {
  EXPECT_NE(hopper_fault(128, 4096,
                         [](char* shared) {
                           float d[32];
                           wgmma_fence();
                           wgmma<64, Major::k, Major::k>(
                               d, matrix_descriptor(shared, 0, 0, SharedSwizzle::none) | 1ull << 46, 0, false);
                         })
                .find("bits outside its fields"),
            std::string::npos);
}

// ---- Operands in every layout: the canonical layouts of the PTX ISA, written out as strides in bytes.

struct Layout {
  const char* name;
  Major major;
  SharedSwizzle swizzle;
  uint32_t leading, stride;  // as in the descriptor
  size_t bytes;              // of an operand of 64 rows
  // The byte of element (mn, k) before the swizzle.
  size_t (*place)(size_t mn, size_t k);
};

constexpr Layout kLayouts[] = {
    // ((8,m),(T,2k)):((1T,SBO),(1,LBO))
    {"k none", Major::k, SharedSwizzle::none, 1024, 128, 2048,
     [](size_t mn, size_t k) { return mn % 8 * 16 + mn / 8 * 128 + k % 8 * 2 + k / 8 * 1024; }},
    // ((8,m),(T,2k)):((2T,SBO),(1,T)), then with 4T and 8T
    {"k 32", Major::k, SharedSwizzle::bytes_32, 0, 256, 2048,
     [](size_t mn, size_t k) { return mn % 8 * 32 + mn / 8 * 256 + k * 2; }},
    {"k 64", Major::k, SharedSwizzle::bytes_64, 16, 512, 4096,
     [](size_t mn, size_t k) { return mn % 8 * 64 + mn / 8 * 512 + k * 2; }},
    {"k 128", Major::k, SharedSwizzle::bytes_128, 0, 2048, 16384,
     [](size_t mn, size_t k) { return mn % 8 * 128 + mn / 8 * 2048 + k * 2; }},
    // ((T,1,m),(8,k)):((1,T,SBO),(1T,LBO))
    {"mn none", Major::mn, SharedSwizzle::none, 128, 256, 2048,
     [](size_t mn, size_t k) { return mn % 8 * 2 + mn / 8 * 256 + k % 8 * 16 + k / 8 * 128; }},
    // ((T,2,m),(8,k)):((1,T,LBO),(2T,SBO)), then with 4 and 8 in the place of 2
    {"mn 32", Major::mn, SharedSwizzle::bytes_32, 256, 1024, 2048,
     [](size_t mn, size_t k) { return mn % 16 * 2 + mn / 16 * 256 + k % 8 * 32 + k / 8 * 1024; }},
    {"mn 64", Major::mn, SharedSwizzle::bytes_64, 1024, 512, 2048,
     [](size_t mn, size_t k) { return mn % 32 * 2 + mn / 32 * 1024 + k % 8 * 64 + k / 8 * 512; }},
    {"mn 128", Major::mn, SharedSwizzle::bytes_128, 0, 1024, 2048,
     [](size_t mn, size_t k) { return mn % 64 * 2 + k % 8 * 128 + k / 8 * 1024; }},
};

float a_at(size_t row, size_t k) { return static_cast<float>((row * 7 + k * 3) % 13) - 6; }
float b_at(size_t column, size_t k) { return static_cast<float>((column * 5 + k * 11) % 17) - 8; }

template <Major kMajorA, Major kMajorB>
void multiply_in(const Layout& a_layout, const Layout& b_layout) {
  SCOPED_TRACE(std::string(a_layout.name) + " by " + b_layout.name);
  constexpr size_t kSecond = 16384;
  std::vector<float> out(64 * 64);
  const size_t bytes = kSecond + b_layout.bytes;
  simt::launch({1}, {128}, bytes, [&] {
    auto* shared = shared_memory<char>();
    const size_t thread = threadIdx.x;
    const auto put = [&](size_t start, const Layout& layout, size_t mn, size_t k, float value) {
      const uint16_t element = bits(value);
      std::memcpy(shared + start + by_table(layout.swizzle, layout.place(mn, k)), &element, 2);
    };
    for (size_t i = thread; i < 64 * 16; i += 128) {
      put(0, a_layout, i / 16, i % 16, a_at(i / 16, i % 16));
      put(kSecond, b_layout, i / 16, i % 16, b_at(i / 16, i % 16));
    }
    fence_async_proxy();
    __syncthreads();
    float d[32];
    wgmma_fence();
    wgmma<64, kMajorA, kMajorB>(
        d, matrix_descriptor(shared, a_layout.leading, a_layout.stride, a_layout.swizzle),
        matrix_descriptor(shared + kSecond, b_layout.leading, b_layout.stride, b_layout.swizzle), false);
    wgmma_commit();
    wgmma_wait<0>();
    for (size_t i = 0; i < 32; ++i)
      out[(thread / 32 * 16 + thread % 32 / 4 + i / 2 % 2 * 8) * 64 + i / 4 * 8 + thread % 4 * 2 + i % 2] = d[i];
  });
  for (size_t row = 0; row < 64; ++row)
    for (size_t column = 0; column < 64; ++column) {
      float sum = 0;
      for (size_t k = 0; k < 16; ++k) sum += a_at(row, k) * b_at(column, k);
      ASSERT_EQ(out[row * 64 + column], sum) << row << " " << column;
    }
}

TEST(HopperTables, EveryLayoutOfBothOperands) {
  const auto layout = [](size_t i) -> const Layout& { return kLayouts[i]; };
  for (size_t i = 0; i < 4; ++i) {
    multiply_in<Major::k, Major::k>(layout(i), layout(3 - i));
    multiply_in<Major::k, Major::mn>(layout(i), layout(4 + i));
    multiply_in<Major::mn, Major::k>(layout(4 + i), layout(i));
    multiply_in<Major::mn, Major::mn>(layout(4 + i), layout(7 - i));
  }
}

// ---- Fragments, from the figures of m64nNk16: (thread, register) and what it holds.

struct Place {
  size_t thread, index, row, column;
};

template <int kN>
void expect_sums_at(const std::vector<Place>& places) {
  // D[row][column] = 256 row + column, which are sums of products that bf16 holds exactly.
  std::vector<float> out(128 * kN / 2);
  simt::launch({1}, {128}, 1024 * 3 + kN * 32, [&] {
    auto* shared = shared_memory<uint16_t>();
    const size_t thread = threadIdx.x;
    const auto at = [](size_t mn, size_t k) { return mn % 8 * 8 + mn / 8 * 128 + k % 8 + k / 8 * 64; };
    constexpr size_t kB = 1024;  // elements of A
    for (size_t i = thread; i < 64 * 16; i += 128)
      shared[at(i / 16, i % 16)] = bits(i % 16 == 0 ? static_cast<float>(i / 16) : i % 16 == 9 ? 1.0f : 0.0f);
    for (size_t i = thread; i < kN * 16; i += 128)
      shared[kB + at(i / 16, i % 16)] = bits(i % 16 == 0 ? 256.0f : i % 16 == 9 ? static_cast<float>(i / 16) : 0.0f);
    fence_async_proxy();
    __syncthreads();
    float d[kN / 2];
    wgmma_fence();
    wgmma<kN, Major::k, Major::k>(d, matrix_descriptor(shared, 128, 256, SharedSwizzle::none),
                                  matrix_descriptor(shared + kB, 128, 256, SharedSwizzle::none), false);
    wgmma_commit();
    wgmma_wait<0>();
    std::copy_n(d, kN / 2, &out[thread * kN / 2]);
  });
  for (const Place& place : places)
    EXPECT_EQ(out[place.thread * kN / 2 + place.index], static_cast<float>(256 * place.row + place.column))
        << place.thread << " " << place.index;
}

TEST(HopperTables, SumsInRegisters) {
  // The first row of the figure: T0 d0 d1, T1 d0 d1, T2, T3, then T0 d4 d5. Rows 8 to 15 hold d2, d3.
  const std::vector<Place> common = {{0, 0, 0, 0},   {0, 1, 0, 1},      {1, 0, 0, 2},    {3, 1, 0, 7},
                                     {0, 4, 0, 8},   {4, 0, 1, 0},      {28, 0, 7, 0},   {0, 2, 8, 0},
                                     {31, 3, 15, 7}, {32, 0, 16, 0},    {37, 7, 25, 11}, {64, 0, 32, 0},
                                     {96, 2, 56, 0}, {127, 31, 63, 63}, {5, 30, 9, 58},  {74, 13, 34, 29}};
  expect_sums_at<64>(common);
  expect_sums_at<128>(common);
  expect_sums_at<128>({{127, 63, 63, 127}, {0, 60, 0, 120}, {66, 34, 40, 68}});
  expect_sums_at<256>(common);
  expect_sums_at<256>({{127, 127, 63, 255}, {0, 124, 0, 248}, {33, 66, 24, 130}});
}

TEST(HopperTables, AInRegisters) {
  // (thread, element of its eight, row, k): a0 a1, then rows 8 later, then k 8 later.
  constexpr Place kPlaces[] = {{0, 0, 0, 0},    {0, 1, 0, 1},     {0, 2, 8, 0},   {0, 4, 0, 8},
                               {0, 7, 8, 9},    {3, 1, 0, 7},     {4, 0, 1, 0},   {37, 7, 25, 11},
                               {95, 5, 39, 15}, {127, 7, 63, 15}, {98, 2, 56, 4}, {66, 6, 40, 12}};
  for (const Place& place : kPlaces) {
    std::vector<float> column(64);
    simt::launch({1}, {128}, 2048, [&] {
      auto* shared = shared_memory<uint16_t>();
      const size_t thread = threadIdx.x;
      // B[k][n] = k + 1
      for (size_t i = thread; i < 64 * 16; i += 128)
        shared[i / 16 % 8 * 8 + i / 16 / 8 * 128 + i % 8 + i % 16 / 8 * 64] = bits(static_cast<float>(i % 16 + 1));
      fence_async_proxy();
      __syncthreads();
      uint32_t a[4] = {0, 0, 0, 0};
      if (thread == place.thread) a[place.index / 2] = uint32_t{bits(1.0f)} << (place.index % 2 * 16);
      float d[32];
      wgmma_fence();
      wgmma<64, Major::k>(d, a, matrix_descriptor(shared, 128, 256, SharedSwizzle::none), false);
      wgmma_commit();
      wgmma_wait<0>();
      if (thread % 4 == 0) {
        column[thread / 32 * 16 + thread % 32 / 4] = d[0];
        column[thread / 32 * 16 + thread % 32 / 4 + 8] = d[2];
      }
    });
    for (size_t row = 0; row < 64; ++row)
      EXPECT_EQ(column[row], row == place.row ? static_cast<float>(place.column + 1) : 0.0f)
          << place.thread << " " << place.index << " row " << row;
  }
}

// A base offset of 1: the pattern begins 128 bytes after a multiple of 1024.
TEST(HopperTables, TheBaseOffsetMovesThePattern) {
  std::vector<float> out(128);
  simt::launch({1}, {128}, 128 + 8192 + 2048, [&] {
    auto* shared = shared_memory<char>();
    const size_t thread = threadIdx.x;
    const auto put = [](char* to, float value) {
      const uint16_t element = bits(value);
      std::memcpy(to, &element, 2);
    };
    char* a = shared + 128;
    char* b = a + 8192;
    for (size_t i = thread; i < 64 * 16; i += 128) {
      put(a + by_table(SharedSwizzle::bytes_128, i / 16 * 128 + i % 16 * 2),
          i % 16 == 9 ? static_cast<float>(i / 16) : 0);
      put(b + i / 16 % 8 * 16 + i / 16 / 8 * 256 + i % 8 * 2 + i % 16 / 8 * 128, 1);
    }
    fence_async_proxy();
    __syncthreads();
    float d[32];
    wgmma_fence();
    wgmma<64, Major::k, Major::k>(d, matrix_descriptor(a, 0, 1024, SharedSwizzle::bytes_128) | uint64_t{1} << 49,
                                  matrix_descriptor(b, 128, 256, SharedSwizzle::none), false);
    wgmma_commit();
    wgmma_wait<0>();
    out[thread] = d[0];
  });
  for (size_t thread = 0; thread < 128; ++thread)
    EXPECT_EQ(out[thread], static_cast<float>(thread / 32 * 16 + thread % 32 / 4));
}

// ---- Boxes: every byte of a copy, at both corners of a tensor of 40 columns and 20 rows.

TEST(HopperTables, BoxesAreSwizzledByteByByteAndZeroOutside) {
  constexpr int kColumns = 40, kRows = 20;
  alignas(16) static uint16_t tensor[kRows][kColumns];
  for (int row = 0; row < kRows; ++row)
    for (int column = 0; column < kColumns; ++column)
      tensor[row][column] = static_cast<uint16_t>(row * 256 + column + 1);
  for (const auto& [swizzle, mode, width] : {std::tuple{SharedSwizzle::none, CU_TENSOR_MAP_SWIZZLE_NONE, 24u},
                                             std::tuple{SharedSwizzle::bytes_32, CU_TENSOR_MAP_SWIZZLE_32B, 16u},
                                             std::tuple{SharedSwizzle::bytes_64, CU_TENSOR_MAP_SWIZZLE_64B, 32u},
                                             std::tuple{SharedSwizzle::bytes_128, CU_TENSOR_MAP_SWIZZLE_128B, 64u}})
    for (const auto& [x, y] : {std::pair{0, 0}, std::pair{30, 12}, std::pair{-5, -3}, std::pair{400, 2}}) {
      const CUtensorMap map = hopper_map(tensor, kColumns, kRows, kColumns * 2, width, 16, mode);
      std::vector<char> contents(width * 32);
      simt::launch({1}, {32}, width * 32 + 8, [&, x = x, y = y, width = width] {
        auto* shared = shared_memory<char>();
        auto* barrier = reinterpret_cast<Mbarrier*>(shared + width * 32);
        if (threadIdx.x != 0) return;
        mbarrier_init(barrier, 1);
        fence_async_proxy();
        mbarrier_arrive_expect(barrier, width * 32);
        tensor_load(shared, map, x, y, barrier);
        mbarrier_wait(barrier, 0);
        std::copy_n(shared, contents.size(), contents.data());
      });
      for (int row = 0; row < 16; ++row)
        for (int column = 0; column < static_cast<int>(width); ++column) {
          const bool inside = y + row >= 0 && y + row < kRows && x + column >= 0 && x + column < kColumns;
          uint16_t element;
          std::memcpy(
              &element,
              &contents[by_table(swizzle, static_cast<size_t>(row) * width * 2 + static_cast<size_t>(column) * 2)], 2);
          ASSERT_EQ(element, inside ? (y + row) * 256 + x + column + 1 : 0) << mode << " " << row << " " << column;
        }
    }
}

// ---- Maps with three dimensions.

// A box at the corner of a tensor of 2 planes of 3 rows of 16 columns, whose rows and planes have gaps between them.
// Nothing of the next plane comes in for rows past a plane's last.
TEST(HopperTables, ABoxOfThreeDimensionsStopsAtEachOfThem) {
  constexpr int kRowStride = 24, kPlaneStride = 4 * kRowStride;
  alignas(16) static uint16_t tensor[2 * kPlaneStride];
  for (int i = 0; i < 2 * kPlaneStride; ++i) tensor[i] = static_cast<uint16_t>(i + 1);
  const CUtensorMap map =
      hopper::tensor_map(tensor, {16, 3, 2}, {kRowStride * 2, kPlaneStride * 2}, {8, 2, 2}, SharedSwizzle::none);
  for (const auto& [x, y, z] : {std::tuple{0, 0, 0}, std::tuple{8, 2, 0}, std::tuple{-3, -1, 1}, std::tuple{12, 1, -1},
                                std::tuple{0, 3, 0}, std::tuple{0, 0, 2}}) {
    constexpr size_t kBytes = 8 * 2 * 2 * 2;
    uint16_t contents[32];
    simt::launch({1}, {32}, kBytes + 8, [&, x = x, y = y, z = z] {
      auto* shared = shared_memory<char>();
      auto* barrier = reinterpret_cast<Mbarrier*>(shared + kBytes);
      if (threadIdx.x != 0) return;
      mbarrier_init(barrier, 1);
      fence_async_proxy();
      mbarrier_arrive_expect(barrier, kBytes);
      tensor_load(shared, map, x, y, z, barrier);
      mbarrier_wait(barrier, 0);
      std::memcpy(contents, shared, kBytes);
    });
    for (int i = 0; i < 32; ++i) {
      const int column = x + i % 8, row = y + i / 8 % 2, plane = z + i / 16;
      const bool inside = column >= 0 && column < 16 && row >= 0 && row < 3 && plane >= 0 && plane < 2;
      EXPECT_EQ(contents[i], inside ? plane * kPlaneStride + row * kRowStride + column + 1 : 0)
          << x << " " << y << " " << z << ": " << i;
    }
  }
}

TEST(HopperTables, ATensorMapThatTheDriverRefusesIsABug) {
  alignas(16) static uint16_t tensor[64];
  const auto map = [](const void* data, int64_t stride, int64_t box) {
    hopper::tensor_map(data, {8, 4}, {stride}, {box, 4}, SharedSwizzle::bytes_128);
  };
  map(tensor, 16, 64);
  EXPECT_THROW(map(tensor + 1, 16, 64), BugError);
  EXPECT_THROW(map(tensor, 18, 64), BugError);
  EXPECT_THROW(map(tensor, 16, 128), BugError);  // wider than the swizzle
  EXPECT_THROW(hopper::tensor_map(tensor, {8, 4}, {16, 64}, {64, 4}, SharedSwizzle::none), BugError);
}

}  // namespace
}  // namespace gptmoe::cuda
