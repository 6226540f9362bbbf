#include "simt/tensor_core.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "simt/simulated_device.h"

// Products on tensor cores take much of the tests' time, so this computes a row of 8 columns at once. It is built
// without sanitizers, which would make it slow; it accesses only small arrays.
namespace simt {
namespace {

constexpr int kRows = 16, kColumns = 8, kDepth = 16;
using Floats = float __attribute__((vector_size(kColumns * sizeof(float))));
using Ints = int32_t __attribute__((vector_size(kColumns * sizeof(int32_t))));
using Doubles = double __attribute__((vector_size(kColumns * sizeof(double))));

constexpr int kLowest = -90;  // bits far below this exponent are lost, although hardware would keep them
// Sums with a larger operand, an infinity or a NaN are computed as floats.
constexpr float kLargestFactor = 0x1p60f, kLargestSum = 0x1p120f;

int exponent_of(float x) { return x == 0 ? -1000 : static_cast<int>(std::bit_cast<uint32_t>(x) >> 23 & 0xFF) - 127; }
Ints exponents_of(const Floats& x) {
  const Ints none = Ints{} - 1000;
  return x == Floats{} ? none : (std::bit_cast<Ints>(x) >> 23 & 0xFF) - 127;
}
Floats powers_of_two(const Ints& exponents) { return std::bit_cast<Floats>((exponents + 127) << 23); }
Ints larger(const Ints& a, const Ints& b) { return a > b ? a : b; }

Floats load(const float (&x)[kColumns]) {
  Floats row;
  std::memcpy(&row, x, sizeof row);
  return row;
}

// x with zeros in place of the elements that exceed the limit. Sets `within` to false if there are such elements.
Floats keep(const Floats& x, float limit, bool& within) {
  const Ints fits = (x <= limit) & (x >= -limit);
  for (int n = 0; n < kColumns; ++n) within = within && fits[n];
  return fits ? x : Floats{};
}

struct Factors {
  Floats value;
  Ints exponent;
};

// Returns sum + a b for one row and steps [begin, end) of the depth.
Floats add_block(const Floats& sum, const float (&a)[kDepth], const int (&a_exponent)[kDepth],
                 const Factors (&b)[kDepth], int begin, int end, int extra_bits) {
  Ints unit = larger(exponents_of(sum), Ints{} + kLowest);
  for (int k = begin; k < end; ++k) unit = larger(unit, b[k].exponent + a_exponent[k]);
  unit -= 23 + extra_bits;
  const Floats per_unit = powers_of_two(-unit);
  // A product is less than 4 times its power of two, so that sixteen of them are less than 2^31 units.
  Ints products{};
  for (int k = begin; k < end; ++k) products += __builtin_convertvector(b[k].value * a[k] * per_unit, Ints);
  const Doubles total = __builtin_convertvector(products, Doubles) +
                        __builtin_convertvector(__builtin_convertvector(sum * per_unit, Ints), Doubles);
  const Floats nearest = __builtin_convertvector(total, Floats);
  const Doubles rounded = __builtin_convertvector(nearest, Doubles);
  const auto away = (rounded > 0 ? rounded > total : rounded < total);  // -1 where it was rounded away from zero
  return std::bit_cast<Floats>(std::bit_cast<Ints>(nearest) + __builtin_convertvector(away, Ints)) *
         powers_of_two(unit);
}

// Adds the product of row `a` and column `n` of `b` to `sum`, in float arithmetic. Returns false if all operands are
// within their limits.
bool add_as_floats(float& sum, const float (&a)[kDepth], const float (&b)[kDepth][kColumns], int n) {
  bool within = std::abs(sum) <= kLargestSum;
  for (int k = 0; k < kDepth; ++k) {
    within = within && std::abs(a[k]) <= kLargestFactor && std::abs(b[k][n]) <= kLargestFactor;
    sum += a[k] * b[k][n];
  }
  return !within;
}

}  // namespace

void tensor_core_multiply(float (&d)[16][8], const float (&a)[16][16], const float (&b)[16][8]) {
  const bool ampere = simulated_device.major < 9;
  const int block = ampere ? 8 : 16, extra_bits = ampere ? 1 : 2;
  bool b_within = true;
  Factors right[kDepth];
  for (int k = 0; k < kDepth; ++k) {
    right[k].value = keep(load(b[k]), kLargestFactor, b_within);
    right[k].exponent = exponents_of(right[k].value);
  }
  for (int m = 0; m < kRows; ++m) {
    bool within = b_within;
    float left[kDepth];
    int left_exponent[kDepth];
    for (int k = 0; k < kDepth; ++k) {
      const bool fits = std::abs(a[m][k]) <= kLargestFactor;
      left[k] = fits ? a[m][k] : 0;
      left_exponent[k] = exponent_of(left[k]);
      within = within && fits;
    }
    Floats sum = keep(load(d[m]), kLargestSum, within);
    for (int begin = 0; begin < kDepth; begin += block)
      sum = add_block(sum, left, left_exponent, right, begin, begin + block, extra_bits);
    for (int n = 0; n < kColumns; ++n) {
      float as_float = d[m][n];
      d[m][n] = within || !add_as_floats(as_float, a[m], b, n) ? sum[n] : as_float;
    }
  }
}

}  // namespace simt
