// Random rounding, to bf16 and to 8-bit codes with a scale for each block. The references repeat kernels/draws.h and
// kernels/block_code.h in double.
#include <cmath>

#include "kernels/draws.h"
#include "op_cases/op_case.h"

namespace gptmoe {
namespace {

constexpr uint32_t kStep = 41;
constexpr int64_t kBlock = 256;  // elements that share a scale

// The draw for an element, in [0, 1).
double draw_of(int64_t place, int64_t stream) {
  const auto element = static_cast<uint64_t>(place);
  const uint32_t low = static_cast<uint32_t>(element), high = static_cast<uint32_t>(element >> 32);
  const uint32_t key = rounding_key(kStep, static_cast<uint32_t>(stream));
  return (mixed_bits(mixed_bits(low ^ key) + high) >> 16) * 0x1p-16;
}

// x is between two neighbouring bf16 numbers, which are `spacing` apart, and the draw decides which one is the result.
// If x is a bf16 number, the result is x.
OpCase round_randomly(int64_t n, int64_t first, int64_t stream) {
  OpCase op("round_randomly", {n}, text("stream", stream));
  const std::vector<double> special = {0, 1 + 0x1p-8, -1 - 0x1p-8, 0x1p-133, 0x1.FEp127, 1 + 0x1p-7, -0x1p-20};
  op.input(
      "x", {n},
      [special, random = normal()](const Rng& rng, int64_t i) {
        const int64_t at = i % 16;
        return at < std::ssize(special) ? special[static_cast<size_t>(at)] : random(rng, i);
      },
      Kind::stat);
  op.input("step", {1}, constant(kStep), Kind::stat);
  op.result("out", {n}, Kind::bf16);
  op.exact("out");
  op.forward = [=](Ops& ops, const Tensors& t) { ops.round_randomly(t["out"], t["x"], t["step"], first, stream); };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < n; ++i) {
      const double size = std::abs(v["x"][i]);
      int exponent = 0;
      std::frexp(size, &exponent);
      const double spacing = std::ldexp(1, std::max(exponent - 8, -133)), lower = std::floor(size / spacing) * spacing;
      const bool up = (size - lower) / spacing + draw_of(first + i, stream) >= 1;
      v["out"][i] = std::copysign(up ? lower + spacing : lower, v["x"][i]);
    }
  };
  return op;
}

// The fraction that a code of `bits` bits stands for, in float: codes 2^p to 2^(p+1) - 1 are evenly spaced numbers
// above 10^(p - bits), up to 10 times as much.
double code_fraction(int64_t code, int bits) {
  if (code == 0) return 0;
  const auto p = static_cast<int>(std::log2(static_cast<double>(code)));
  const double codes = std::pow(2, p), place = static_cast<double>(code) + 1 - codes;
  return static_cast<float>((1 + 9 * place / codes) * static_cast<float>(std::pow(10, p - bits)));
}

const char* sign_name(bool has_sign) { return has_sign ? "signed" : "unsigned"; }

// Each block has its own power of two as the largest magnitude, so that the arithmetic of floats agrees with that of
// doubles, and numbers in all decades of fractions, zeros, and numbers that a code stands for.
OpCase encode_blocks(int64_t n, int64_t first, bool has_sign, const char* variant = "") {
  constexpr int64_t kStream = 1;
  const int bits = has_sign ? 7 : 8;
  OpCase op("encode_blocks", {n}, std::string(sign_name(has_sign)) + variant);
  const auto scale_of = [](int64_t block) { return std::ldexp(1, static_cast<int>(block % 9) - 4); };
  op.input(
      "x", {n},
      [=](const Rng& rng, int64_t i) {
        const double sign = has_sign && rng.below(3 * static_cast<uint64_t>(i), 2) ? -1 : 1;
        const double scale = sign * scale_of(i / kBlock);
        const double wide = rng.uniform(3 * static_cast<uint64_t>(i) + 1);
        switch (i % kBlock % 8) {
          case 0: return scale;
          case 1: return 0.0;
          case 2: return scale * code_fraction(i % 100 + 1, bits);
          case 3: return scale * wide;
          default: return scale * std::pow(10, -9 * wide);
        }
      },
      Kind::stat);
  op.input("step", {1}, constant(kStep), Kind::stat);
  op.result("codes", {n}, Kind::u8);
  op.spec("codes").fill = below(256);  // any byte is a code, so none shows that it was not overwritten
  op.result("scales", {(n + kBlock - 1) / kBlock}, Kind::stat);
  op.exact("scales");
  op.forward = [=](Ops& ops, const Tensors& t) {
    ops.encode_blocks(t["codes"], t["scales"], t["x"], t["step"], first, kStream, has_sign);
  };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < n; ++i) {
      const double scale = scale_of(i / kBlock), size = std::abs(v["x"][i]);
      v["scales"][i / kBlock] = scale;
      int64_t code = 0;
      while (code + 1 < (1 << bits) && scale * code_fraction(code + 1, bits) <= size) ++code;
      const double lower = scale * code_fraction(code, bits);
      if (size > lower) {
        const bool up = size - lower > draw_of(first + i, kStream) * (scale * code_fraction(code + 1, bits) - lower);
        code += up || (!has_sign && code == 0) ? 1 : 0;
      }
      v["codes"][i] = static_cast<double>(v["x"][i] < 0 ? code + 128 : code);
    }
  };
  return op;
}

OpCase decode_blocks(int64_t n, bool has_sign) {
  OpCase op("decode_blocks", {n}, sign_name(has_sign));
  op.input("codes", {n}, below(256), Kind::u8);
  op.input("scales", {(n + kBlock - 1) / kBlock}, uniform(0.1, 2), Kind::stat);
  op.result("x", {n}, Kind::stat);
  op.forward = [=](Ops& ops, const Tensors& t) { ops.decode_blocks(t["x"], t["codes"], t["scales"], has_sign); };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < n; ++i) {
      const auto code = static_cast<int64_t>(v["codes"][i]);
      const double fraction = has_sign ? code_fraction(code % 128, 7) : code_fraction(code, 8);
      v["x"][i] = (has_sign && code >= 128 ? -fraction : fraction) * v["scales"][i / kBlock];
    }
  };
  return op;
}

}  // namespace

void add_rounding_cases(OpCases& cases) {
  auto& tests = cases.tests;
  for (int64_t n : {1, 7, 1024, 70001}) {
    tests.push_back(round_randomly(n, 0, 1));
    tests.push_back(round_randomly(n, (int64_t{1} << 33) - 5, 0));
  }
  for (const bool has_sign : {true, false}) {
    for (int64_t n : {1, 7, 256, 1000, 20001}) {
      tests.push_back(encode_blocks(n, 0, has_sign));
      tests.push_back(decode_blocks(n, has_sign));
    }
    tests.push_back(encode_blocks(600, (int64_t{1} << 33) - 5, has_sign, "_far"));
  }
  const auto add_benchmarks = [](std::vector<OpCase>& benchmarks, int64_t n) {
    benchmarks.push_back(round_randomly(n, 0, 0));
    benchmarks.push_back(encode_blocks(n, 0, true));
    benchmarks.push_back(decode_blocks(n, true));
  };
  add_benchmarks(cases.benchmarks, 4 << 20);
  add_benchmarks(cases.gpu_benchmarks, 64 << 20);
}

}  // namespace gptmoe
