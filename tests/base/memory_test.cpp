#include "base/memory.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/bf16.h"

namespace gptmoe {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(Bf16, RoundsToNearestTiesToEven) {
  EXPECT_EQ(bf16_bits(1.0f), 0x3F80);
  EXPECT_EQ(bf16_bits(-2.5f), 0xC020);
  const float step = 0x1p-7f;  // spacing of bf16 numbers just above 1
  EXPECT_EQ(bf16_bits(1 + step / 2), 0x3F80) << "a tie, down to even";
  EXPECT_EQ(bf16_bits(1 + 3 * step / 2), 0x3F82) << "a tie, up to even";
  EXPECT_EQ(bf16_bits(std::nextafterf(1 + step / 2, 2)), 0x3F81);
  EXPECT_EQ(bf16_bits(std::numeric_limits<float>::max()), 0x7F80) << "infinity";
  EXPECT_EQ(bf16_bits(-kInfinity), 0xFF80);
  EXPECT_TRUE(std::isnan(bf16_value(bf16_bits(std::bit_cast<float>(0x7F800001u)))))
      << "rounding would cut off its payload";
  for (uint32_t bits = 0; bits < 0x7F80; ++bits) EXPECT_EQ(bf16_bits(bf16_value(static_cast<uint16_t>(bits))), bits);
}

TEST(HostMemory, ConvertsFloatsToEveryTypeAndBack) {
  const std::vector<float> from = {1.0f, -3.14159f, 1e30f, 0.0f, 1e-40f};
  for (const DType dtype : {DType::f32, DType::f64, DType::bf16}) {
    std::vector<double> room(from.size());
    const Tensor to(room.data(), dtype, {5});
    upload_floats(host_memory(), to, from.data());
    const std::vector<double> back = download_values(host_memory(), to);
    ASSERT_EQ(back.size(), from.size());
    for (size_t i = 0; i < from.size(); ++i)
      EXPECT_EQ(back[i], static_cast<double>(dtype == DType::bf16 ? bf16_value(bf16_bits(from[i])) : from[i]))
          << dtype_name(dtype) << " " << i;
  }
}

TEST(HostMemory, ReportsTheAvailableBytes) {
  const int64_t before = host_memory().available();
  EXPECT_GT(before, int64_t{1} << 20);
  EXPECT_LT(before, int64_t{1} << 50);
}

TEST(HostMemory, IsVisitedInPlaceAsOnePiece) {
  std::vector<int32_t> values(7);
  int visits = 0;
  for_each_host_part(host_memory(), Tensor(values.data(), DType::i32, {7}), [&](const void* data, int64_t bytes) {
    EXPECT_EQ(data, values.data());
    EXPECT_EQ(bytes, 28);
    ++visits;
  });
  EXPECT_EQ(visits, 1);
}

}  // namespace
}  // namespace gptmoe
