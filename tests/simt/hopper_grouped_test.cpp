// The grouped products of kernels/cuda/hopper on the simulated Hopper, in every order of events. Inputs are small
// integers, so that sums are exact. Rows that no expert has are NaNs in inputs, and must stay NaNs in results.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/hopper/grouped_products.h"
#include "simt/runtime.h"

namespace gptmoe::cuda {
namespace {

using Sizes = std::initializer_list<int64_t>;

float rounded(float x) { return __bfloat162float(__float2bfloat16(x)); }

// A tensor whose address is a multiple of 16. Its elements begin as NaNs.
class Matrix {
 public:
  explicit Matrix(Sizes sizes, DType dtype = DType::bf16)
      : bytes_(static_cast<size_t>(count_of(sizes) * dtype_bytes(dtype) / 16 + 1), ~__uint128_t{0}),
        tensor_(bytes_.data(), dtype, sizes) {}
  Matrix(Matrix&&) = default;

  // The value that fill() gives to element i.
  static float value(int64_t i, int64_t factor) { return static_cast<float>((i * factor + i / 7) % 5 - 2); }
  // Sets the first `count` elements to small integers.
  void fill(int64_t count, int64_t factor) {
    for (int64_t i = 0; i < count; ++i)
      if (tensor_.dtype() == DType::f32)
        tensor_.as<float>()[i] = value(i, factor);
      else
        tensor_.as<bf16>()[i] = __float2bfloat16(value(i, factor));
  }
  float operator[](int64_t i) const {
    return tensor_.dtype() == DType::f32 ? tensor_.as<float>()[i] : __bfloat162float(tensor_.as<bf16>()[i]);
  }
  operator const Tensor&() const { return tensor_; }

 private:
  static int64_t count_of(Sizes sizes) {
    return std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>());
  }
  std::vector<__uint128_t> bytes_;
  Tensor tensor_;
};

constexpr int64_t kOfWeights = 11, kOfRows = 3;
Matrix weights(Sizes sizes, DType dtype = DType::bf16) {
  Matrix made(sizes, dtype);
  made.fill(static_cast<const Tensor&>(made).count(), kOfWeights);
  return made;
}

// Experts with these numbers of rows, and rows at the end that no expert has. If `gathered`, the rows are those of
// tokens with two slots each.
struct Routing {
  std::vector<int64_t> offsets = {0};
  std::vector<int32_t> slots;
  int64_t live, R, tokens;
  bool gathered;

  Routing(const std::vector<int64_t>& rows, bool gathered_) : gathered(gathered_) {
    for (const int64_t count : rows) offsets.push_back(offsets.back() + count);
    live = offsets.back();
    R = (live + 10) / 2 * 2;
    tokens = R / 2;
    for (int64_t row = 0; row < R; ++row)
      slots.push_back(row < live ? static_cast<int32_t>(7 * row % tokens * 2 + row % 2) : INT32_MAX);
  }
  int64_t experts() const { return std::ssize(offsets) - 1; }
  int64_t first(int64_t expert) const { return offsets[static_cast<size_t>(expert)]; }
  int64_t expert(int64_t row) const {
    return std::upper_bound(offsets.begin(), offsets.end(), row) - offsets.begin() - 1;
  }
  int64_t row_of_x(int64_t row) const { return gathered ? slots[static_cast<size_t>(row)] / 2 : row; }
  Matrix x(int64_t width) const {
    Matrix made({gathered ? tokens : R, width});
    made.fill((gathered ? tokens : live) * width, kOfRows);
    return made;
  }
  Tensor offsets_tensor() const { return {const_cast<int64_t*>(offsets.data()), DType::i64, {experts() + 1}}; }
  Tensor slots_tensor() const {
    return gathered ? Tensor{const_cast<int32_t*>(slots.data()), DType::i32, {R}} : Tensor{};
  }

  // The product of sorted row `row` and row `o` of its expert's weights (E, width, depth), or with `transposed` column
  // `o` of weights (E, depth, width).
  float product(const Matrix& x, const Matrix& w, int64_t width, int64_t depth, int64_t row, int64_t o,
                bool transposed = false) const {
    float sum = 0;
    const int64_t of_expert = expert(row) * width * depth;
    for (int64_t i = 0; i < depth; ++i)
      sum += x[row_of_x(row) * depth + i] * w[of_expert + (transposed ? i * width + o : o * depth + i)];
    return sum;
  }
};

class HopperGrouped : public testing::TestWithParam<simt::Timing> {
 protected:
  HopperGrouped() { simt::set_timing(GetParam()); }
  ~HopperGrouped() override {
    simt::set_timing(simt::Timing::late);
    simt::set_seed(1);
  }

  // Two blocks, so that each computes several tiles.
  static constexpr hopper::Place kPlace{nullptr, 2};
};
INSTANTIATE_TEST_SUITE_P(Timings, HopperGrouped,
                         testing::Values(simt::Timing::late, simt::Timing::early, simt::Timing::interleaved));

void expect_rows(const Matrix& out, const Routing& routing, int64_t width, float tolerance,
                 const std::function<float(int64_t row, int64_t column)>& value) {
  for (int64_t row = 0; row < routing.R; ++row)
    for (int64_t column = 0; column < width; ++column) {
      const float got = out[row * width + column];
      if (row < routing.live) {
        const float expected = value(row, column);
        ASSERT_NEAR(got, expected, tolerance * (1 + std::abs(expected))) << row << " " << column;
      } else {
        ASSERT_TRUE(std::isnan(got)) << "row " << row << ", which no expert has";
      }
    }
}

// Tiles of both widths; tails of rows, columns and depth; an expert without rows; a depth of more stages than the ring
// has.
struct Shape {
  std::vector<int64_t> rows;
  int64_t width, depth;
};
const Shape kLong{{3, 0, 130}, 40, 456}, kWide{{129}, 136, 72};

TEST_P(HopperGrouped, Rows) {
  const Shape many_experts{std::vector<int64_t>(35, 1), 8, 8};
  for (const Shape& shape : {kLong, kWide, many_experts})
    for (const bool gathered : {false, true}) {
      const Routing routing(shape.rows, gathered);
      const int64_t O = shape.width, I = shape.depth;
      const Matrix x = routing.x(I), w = weights({routing.experts(), O, I}), y({routing.R, O});
      hopper::grouped_rows(kPlace, y, x, w, routing.offsets_tensor(), routing.slots_tensor());
      expect_rows(y, routing, O, 0,
                  [&](int64_t row, int64_t o) { return rounded(routing.product(x, w, O, I, row, o)); });
    }
}

TEST_P(HopperGrouped, RowsGradient) {
  for (const Shape& shape : {kLong, kWide}) {
    const Routing routing(shape.rows, false);
    const int64_t I = shape.width, O = shape.depth;
    const Matrix dy = routing.x(O), w = weights({routing.experts(), O, I}), dx({routing.R, I});
    hopper::grouped_rows_gradient(kPlace, dx, dy, w, routing.offsets_tensor());
    expect_rows(dx, routing, I, 0,
                [&](int64_t row, int64_t i) { return rounded(routing.product(dy, w, I, O, row, i, true)); });
  }
}

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

TEST_P(HopperGrouped, SwigluRows) {
  for (const Shape& shape : {kLong, kWide})
    for (const bool gathered : {false, true}) {
      const Routing routing(shape.rows, gathered);
      const int64_t F = (shape.width / 2 + 7) / 8 * 8, I = shape.depth;
      const Matrix x = routing.x(I), w = weights({routing.experts(), 2 * F, I});
      const Matrix a({routing.R, F}), h({routing.R, 2 * F});
      hopper::grouped_swiglu_rows(kPlace, a, h, x, w, routing.offsets_tensor(), routing.slots_tensor());
      const auto sum = [&](int64_t row, int64_t o) { return routing.product(x, w, 2 * F, I, row, o); };
      expect_rows(h, routing, 2 * F, 0, [&](int64_t row, int64_t o) { return rounded(sum(row, o)); });
      expect_rows(a, routing, F, 0.01f,
                  [&](int64_t row, int64_t f) { return sum(row, f) * sigmoid(sum(row, f)) * sum(row, F + f); });
    }
}

TEST_P(HopperGrouped, SwigluGradientInPlaceOrNot) {
  for (const Shape& shape : {kLong, kWide}) {
    const Routing routing(shape.rows, false);
    const int64_t F = shape.width, O = shape.depth;
    const Matrix dy = routing.x(O), w = weights({routing.experts(), O, F});
    const Matrix h = routing.x(2 * F), in_place = routing.x(2 * F), other({routing.R, 2 * F});
    const auto value = [&](int64_t row, int64_t column) {
      const int64_t f = column % F;
      const float da = routing.product(dy, w, F, O, row, f, true);
      const float gate = h[row * 2 * F + f], up = h[row * 2 * F + F + f], s = sigmoid(gate);
      return column < F ? da * up * s * (1 + gate * (1 - s)) : da * gate * s;
    };
    hopper::grouped_swiglu_gradient(kPlace, other, dy, w, h, routing.offsets_tensor());
    expect_rows(other, routing, 2 * F, 0.01f, value);
    hopper::grouped_swiglu_gradient(kPlace, in_place, dy, w, in_place, routing.offsets_tensor());
    expect_rows(in_place, routing, 2 * F, 0.01f, value);
  }
}

// Experts whose rows end within a stage and at the end of one.
TEST_P(HopperGrouped, WeightsTakeTheRowsOfTheirExpert) {
  for (const Shape& shape : {Shape{{3, 0, 330}, 40, 136}, Shape{{64, 1}, 136, 24}})
    for (const bool gathered : {false, true}) {
      const Routing routing(shape.rows, gathered);
      const int64_t O = shape.width, I = shape.depth;
      const Matrix x = routing.x(I), dy = Routing(shape.rows, false).x(O);
      const Matrix dw = weights({routing.experts(), O, I}, DType::f32);
      hopper::grouped_weights(kPlace, dw, dy, x, routing.offsets_tensor(), routing.slots_tensor());
      for (int64_t at = 0; at < routing.experts() * O * I; ++at) {
        const int64_t expert = at / (O * I), o = at / I % O, i = at % I;
        float sum = Matrix::value(at, kOfWeights);
        for (int64_t row = routing.first(expert); row < routing.first(expert + 1); ++row)
          sum += dy[row * O + o] * x[routing.row_of_x(row) * I + i];
        ASSERT_EQ(dw[at], sum) << expert << " " << o << " " << i;
      }
    }
}

TEST_P(HopperGrouped, NoRowsAreNoWork) {
  const Matrix w = weights({2, 8, 8}), dw = weights({2, 8, 8}, DType::f32);
  const Routing none({0, 0}, false);
  for (const int64_t R : {int64_t{0}, none.R}) {
    const Matrix x({R, 8}), y({R, 8});
    hopper::grouped_rows(kPlace, y, x, w, none.offsets_tensor(), {});
    hopper::grouped_weights(kPlace, dw, x, x, none.offsets_tensor(), {});
    expect_rows(y, none, R == 0 ? 0 : 8, 0, {});
    for (int64_t i = 0; i < 128; ++i) EXPECT_EQ(dw[i], Matrix::value(i, kOfWeights));
  }
}

}  // namespace
}  // namespace gptmoe::cuda
