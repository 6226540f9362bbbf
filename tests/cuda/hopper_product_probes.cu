// Probes of matrix products: the layouts of their operands in shared memory, and their sums.
#include <cstring>
#include <functional>

#include "cuda/hopper_probe_memory.cuh"
#include "kernels/cuda/hopper/bulk_copy.cuh"
#include "kernels/cuda/hopper/wgmma.cuh"

namespace gptmoe::cuda {
namespace {

constexpr int kRows = 64;         // of A
constexpr int kColumns = 128;     // of B
constexpr int kDepth = 16;        // of a product
constexpr int kOperandB = 32768;  // where B's part of shared memory begins
constexpr int kImage = 65536;     // bytes of shared memory

// Returns right(), or false if the simulator throws because an instruction breaks a rule.
bool holds(const std::function<bool()>& right) {
#ifdef GPTMOE_SIMT
  try {
    return right();
  } catch (const simt::KernelError&) {
    return false;
  }
#else
  return right();
#endif
}

// ---- Products of one instruction.

struct Operand {
  uint32_t start = 0, leading = 0, stride = 0, base_offset = 0;
  SharedSwizzle swizzle = SharedSwizzle::none;
};

// Only GPUs with Hopper's instructions use it.
[[maybe_unused]] __device__ uint64_t descriptor_of(const Operand& operand, const unsigned char* part) {
  return matrix_descriptor(part + operand.start, operand.leading, operand.stride, operand.swizzle) |
         static_cast<uint64_t>(operand.base_offset) << 49;
}

// d = A B: A is kRows x kDepth, B kDepth x kColumns, d row-major. `image` becomes the block's shared memory: A at its
// beginning, B at kOperandB. With kRegisters, A comes from `fragments`: four registers of each thread.
template <Major kMajorA, Major kMajorB, bool kRegisters>
__global__ void __launch_bounds__(kThreads)
    product_probe_kernel(float* d, const uint4* image, const Bf16x2* fragments, Operand a, Operand b) {
#if GPTMOE_ON_HOPPER
  auto* shared = shared_memory<unsigned char>();
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp;
  for (int i = thread; i < kImage / 16; i += kThreads) reinterpret_cast<uint4*>(shared)[i] = image[i];
  Bf16x2 registers[4] = {};
  if constexpr (kRegisters)
    for (int i = 0; i < 4; ++i) registers[i] = fragments[thread * 4 + i];
  fence_async_proxy();
  __syncthreads();
  float sums[kColumns / 2];
  wgmma_fence();
  if constexpr (kRegisters)
    wgmma<kColumns, kMajorB>(sums, registers, descriptor_of(b, shared + kOperandB), false);
  else
    wgmma<kColumns, kMajorA, kMajorB>(sums, descriptor_of(a, shared), descriptor_of(b, shared + kOperandB), false);
  wgmma_commit();
  wgmma_wait<0>();
  GPTMOE_UNROLL
  for (int i = 0; i < kColumns / 2; ++i) {
    const int row = warp * 16 + lane / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + lane % 4 * 2 + i % 2;
    d[row * kColumns + column] = sums[i];
  }
#else
  __trap();
#endif
}

int a_at(int row, int k) { return (row * 7 + k * 3) % 13 - 6; }
int b_at(int column, int k) { return (column * 5 + k * 11) % 17 - 8; }
uint16_t bf16_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<uint16_t>(bits >> 16);
}
uint32_t bf16_pair(int low, int high) {
  return bf16_bits(static_cast<float>(low)) | static_cast<uint32_t>(bf16_bits(static_cast<float>(high))) << 16;
}

using Place = std::function<uint32_t(uint32_t mn, uint32_t k)>;  // the byte of an element in its part of the image

struct Image {
  Bytes bytes = Bytes(kImage);

  void put(uint32_t at, int value) {
    const uint16_t bits = bf16_bits(static_cast<float>(value));
    std::memcpy(&bytes.at(at), &bits, sizeof bits);
  }
  void put_a(const Place& place) {
    for (int row = 0; row < kRows; ++row)
      for (int k = 0; k < kDepth; ++k) put(place(row, k), a_at(row, k));
  }
  void put_b(const Place& place) {
    for (int column = 0; column < kColumns; ++column)
      for (int k = 0; k < kDepth; ++k) put(kOperandB + place(column, k), b_at(column, k));
  }
};

// Layouts in which our kernels keep operands, and their descriptors according to the manual. kByRows describes
// by_rows().
constexpr Operand kByRows{.stride = 1024, .swizzle = SharedSwizzle::bytes_128};
constexpr Operand kByDepth64{.leading = 1024, .stride = 512, .swizzle = SharedSwizzle::bytes_64};
uint32_t by_depth_64(uint32_t mn, uint32_t k) {
  return swizzled(mn % 32 * 2 + mn / 32 * 1024 + k % 8 * 64 + k / 8 * 512, 64);
}
constexpr Operand kByDepth128{.leading = 2048, .stride = 1024, .swizzle = SharedSwizzle::bytes_128};
uint32_t by_depth_128(uint32_t mn, uint32_t k) {
  return swizzled(mn % 64 * 2 + mn / 64 * 2048 + k % 8 * 128 + k / 8 * 1024, 128);
}
constexpr Operand kPlainByDepth{.leading = 128, .stride = 256};
uint32_t plain_by_depth(uint32_t mn, uint32_t k) { return mn % 8 * 2 + mn / 8 * 256 + k % 8 * 16 + k / 8 * 128; }

Operand with_offsets_swapped(Operand operand) {
  std::swap(operand.leading, operand.stride);
  return operand;
}

template <Major kMajorA, Major kMajorB, bool kRegisters = false>
std::vector<float> product(const Image& image, const Operand& a, const Operand& b,
                           const std::vector<uint32_t>& fragments = {0}) {
  const auto bytes_of = [](const std::vector<uint32_t>& words) {
    Bytes bytes(words.size() * 4);
    std::memcpy(bytes.data(), words.data(), bytes.size());
    return bytes;
  };
  const DeviceBytes d(Bytes(kRows * kColumns * 4)), shared(image.bytes), registers(bytes_of(fragments));
  const auto kernel = product_probe_kernel<kMajorA, kMajorB, kRegisters>;
  GPTMOE_LAUNCH(kernel, 1, kThreads, kImage, nullptr, d.as<float>(), shared.as<uint4>(), registers.as<Bf16x2>(), a, b);
  return d.read<float>();
}

bool is_product(const std::vector<float>& d) {
  for (int row = 0; row < kRows; ++row)
    for (int column = 0; column < kColumns; ++column) {
      int sum = 0;
      for (int k = 0; k < kDepth; ++k) sum += a_at(row, k) * b_at(column, k);
      if (d[static_cast<size_t>(row * kColumns + column)] != static_cast<float>(sum)) return false;
    }
  return true;
}

template <Major kMajorA, Major kMajorB>
bool multiplies(const Image& image, const Operand& a, const Operand& b) {
  return holds([&] { return is_product(product<kMajorA, kMajorB>(image, a, b)); });
}

// An image with A laid out by `place` and B by rows.
Image image_of_a(const Place& place) {
  Image image;
  image.put_a(place);
  image.put_b(by_rows);
  return image;
}
Image image_of_b(const Place& place) {
  Image image;
  image.put_a(by_rows);
  image.put_b(place);
  return image;
}

std::vector<Reading> k_major() {
  const Image image = image_of_a(by_rows);
  Operand leading_1 = kByRows;
  leading_1.leading = 16;
  return {{"the leading offset is ignored", multiplies<Major::k, Major::k>(image, kByRows, kByRows)},
          {"the leading offset may be 1 in its field", multiplies<Major::k, Major::k>(image, leading_1, leading_1)}};
}

std::vector<Reading> a_mn_major() {
  const Image image = image_of_a(by_depth_64);
  return {{"leading is the step along MN, stride the step along K",
           multiplies<Major::mn, Major::k>(image, kByDepth64, kByRows)},
          {"leading is the step along K, stride the step along MN",
           multiplies<Major::mn, Major::k>(image, with_offsets_swapped(kByDepth64), kByRows)}};
}

std::vector<Reading> b_mn_major() {
  const Image image = image_of_b(by_depth_128);
  return {{"leading is the step along MN, stride the step along K",
           multiplies<Major::k, Major::mn>(image, kByRows, kByDepth128)},
          {"leading is the step along K, stride the step along MN",
           multiplies<Major::k, Major::mn>(image, kByRows, with_offsets_swapped(kByDepth128))}};
}

std::vector<Reading> b_mn_major_plain() {
  const Image image = image_of_b(plain_by_depth);
  return {{"stride is the step along MN, leading the step along K",
           multiplies<Major::k, Major::mn>(image, kByRows, kPlainByDepth)},
          {"stride is the step along K, leading the step along MN",
           multiplies<Major::k, Major::mn>(image, kByRows, with_offsets_swapped(kPlainByDepth))}};
}

// A begins 32 bytes into the rows of a tile: the second product along K.
std::vector<Reading> start_inside_the_pattern() {
  Operand a = kByRows;
  a.start = 32;
  const Image in_tile = image_of_a([](uint32_t mn, uint32_t k) { return by_rows(mn, k + kDepth); });
  const Image by_start = image_of_a([](uint32_t mn, uint32_t k) { return 32 + by_rows(mn, k); });
  return {{"the pattern begins at a multiple of 1024 bytes", multiplies<Major::k, Major::k>(in_tile, a, kByRows)},
          {"the pattern begins at the start address", multiplies<Major::k, Major::k>(by_start, a, kByRows)}};
}

// The pattern begins 128 bytes after a multiple of 1024.
std::vector<Reading> base_offset() {
  const Image image = image_of_a([](uint32_t mn, uint32_t k) { return 128 + by_rows(mn, k); });
  const auto right_with = [&](uint32_t offset) {
    Operand a = kByRows;
    a.start = 128;
    a.base_offset = offset;
    return multiplies<Major::k, Major::k>(image, a, kByRows);
  };
  return {{"the base offset is subtracted from the address's row", right_with(1)},
          {"the base offset is added to the address's row", right_with(7)},
          {"the row counts from the start address", right_with(0)}};
}

std::vector<Reading> a_in_registers() {
  const Image image = image_of_b(by_rows);
  // half(i): which rows and which k register i of a thread holds, 0 for the first eight and 1 for the next eight.
  const auto right_with = [&](const std::function<std::pair<int, int>(int i)>& half) {
    std::vector<uint32_t> fragments;
    for (int thread = 0; thread < kThreads; ++thread)
      for (int i = 0; i < 4; ++i) {
        const auto [rows, depth] = half(i);
        const int row = thread / kWarp * 16 + thread % kWarp / 4 + 8 * rows, k = thread % 4 * 2 + 8 * depth;
        fragments.push_back(bf16_pair(a_at(row, k), a_at(row, k + 1)));
      }
    return holds([&] { return is_product(product<Major::k, Major::k, true>(image, {}, kByRows, fragments)); });
  };
  return {{"registers 1 and 3 hold rows 8 later, 2 and 3 k 8 later",
           right_with([](int i) { return std::pair(i % 2, i / 2); })},
          {"registers 1 and 3 hold k 8 later, 2 and 3 rows 8 later",
           right_with([](int i) { return std::pair(i / 2, i % 2); })}};
}

// ---- Sums: wgmma beside mma.sync, on the same operands.

__global__ void __launch_bounds__(kThreads) mma_probe_kernel(float* d, const Bf16x2* a, const Bf16x2* b) {
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp;
  const Bf16x2 rows[4] = {a[thread * 4], a[thread * 4 + 1], a[thread * 4 + 2], a[thread * 4 + 3]};
  for (int tile = 0; tile < kColumns / 8; ++tile) {  // b: (kColumns, kDepth), in pairs
    const Bf16x2* column = b + (tile * 8 + lane / 4) * (kDepth / 2) + lane % 4;
    const Bf16x2 columns[2] = {column[0], column[4]};
    float sums[4] = {};
    mma_bf16(sums, rows, columns);
    for (int i = 0; i < 4; ++i)
      d[(warp * 16 + lane / 4 + i / 2 * 8) * kColumns + tile * 8 + lane % 4 * 2 + i % 2] = sums[i];
  }
}

// Values of many magnitudes, so that the order and the width of the sums show in the last bits.
float spread_value(int i) {
  const uint32_t mixed = static_cast<uint32_t>(i + 1) * 2654435761u;
  const auto mantissa = static_cast<float>(128 + (mixed >> 8) % 128) / 128;
  return std::ldexp(mixed >> 31 ? -mantissa : mantissa, static_cast<int>((mixed >> 16) % 12) - 6);
}

std::vector<Reading> sums() {
  Image image;
  Bytes a_bytes(kThreads * 16), b_bytes(kColumns * kDepth * 2);
  std::vector<uint32_t> fragments;
  for (int i = 0; i < kThreads * 4; ++i)
    fragments.push_back(bf16_bits(spread_value(2 * i)) | static_cast<uint32_t>(bf16_bits(spread_value(2 * i + 1)))
                                                             << 16);
  std::memcpy(a_bytes.data(), fragments.data(), a_bytes.size());
  for (int column = 0; column < kColumns; ++column)
    for (int k = 0; k < kDepth; ++k) {
      const uint16_t bits = bf16_bits(spread_value(100000 + column * kDepth + k));
      std::memcpy(&b_bytes.at(static_cast<size_t>(column * kDepth + k) * 2), &bits, 2);
      std::memcpy(&image.bytes.at(kOperandB + by_rows(static_cast<uint32_t>(column), static_cast<uint32_t>(k))), &bits,
                  2);
    }
  const DeviceBytes d(Bytes(kRows * kColumns * 4)), a(a_bytes), b(b_bytes);
  GPTMOE_LAUNCH(mma_probe_kernel, 1, kThreads, 0, nullptr, d.as<float>(), a.as<Bf16x2>(), b.as<Bf16x2>());
  const bool same = product<Major::k, Major::k, true>(image, {}, kByRows, fragments) == d.read<float>();
  return {{"a step of wgmma adds like mma.sync, bit for bit", same}, {"the last bits differ", !same}};
}

}  // namespace

std::vector<Probe> product_probes() {
  return {{"k_major", "wgmma, both operands K-major in shared memory, swizzle of 128 bytes", k_major},
          {"a_mn_major", "wgmma, A MN-major, swizzle of 64 bytes", a_mn_major},
          {"b_mn_major", "wgmma, B MN-major, swizzle of 128 bytes", b_mn_major},
          {"b_mn_major_plain", "wgmma, B MN-major, no swizzle", b_mn_major_plain},
          {"start_inside_the_pattern", "wgmma, an operand that starts 32 bytes into the swizzle's rows",
           start_inside_the_pattern},
          {"base_offset", "wgmma, a swizzle's pattern that begins 128 bytes after a multiple of 1024", base_offset},
          {"a_in_registers", "wgmma, A from registers", a_in_registers},
          {"sums", "wgmma beside mma.sync", sums}};
}

}  // namespace gptmoe::cuda
