#include "base/tensor.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

namespace gptmoe {
namespace {

struct TensorTest : testing::Test {
  std::array<float, 24> values{};
  Tensor tensor{values.data(), DType::f32, {4, 3, 2}};
};

TEST_F(TensorTest, CountsElementsRowsAndBytes) {
  EXPECT_TRUE(tensor.present());
  EXPECT_EQ(tensor.rank(), 3);
  EXPECT_EQ(tensor.size(1), 3);
  EXPECT_EQ(tensor.count(), 24);
  EXPECT_EQ(tensor.row_count(), 6);
  EXPECT_EQ(tensor.bytes(), 96);
  EXPECT_EQ(tensor.as<float>(), values.data());
  EXPECT_EQ(tensor.describe(), "f32 (4, 3, 2)");
  EXPECT_TRUE(tensor.has_sizes({4, 3, 2}));
  EXPECT_FALSE(tensor.has_sizes({4, 2, 3}));
  EXPECT_FALSE(tensor.has_sizes({4, 3}));
}

TEST_F(TensorTest, BytesDependOnTheDtype) {
  EXPECT_EQ(Tensor(nullptr, DType::bf16, {5}).bytes(), 10);
  EXPECT_EQ(Tensor(nullptr, DType::i32, {5}).bytes(), 20);
  EXPECT_EQ(Tensor(nullptr, DType::f64, {5}).bytes(), 40);
  EXPECT_EQ(Tensor(nullptr, DType::i64, {5}).bytes(), 40);
}

TEST_F(TensorTest, AbsentTensorHasNothing) {
  const Tensor absent;
  EXPECT_FALSE(absent.present());
  EXPECT_EQ(absent.count(), 0);
  EXPECT_EQ(absent.bytes(), 0);
  EXPECT_EQ(absent.describe(), "absent tensor");
  EXPECT_THROW(absent.size(0), BugError);
  EXPECT_THROW(absent.rows(0, 0), BugError);
}

TEST_F(TensorTest, ScalarHasOneElement) {
  const Tensor scalar(values.data(), DType::f32, {});
  EXPECT_TRUE(scalar.present());
  EXPECT_EQ(scalar.count(), 1);
}

TEST_F(TensorTest, DimensionOutOfBoundsIsABug) {
  EXPECT_THROW(tensor.size(3), BugError);
  EXPECT_THROW(tensor.size(-1), BugError);
}

TEST_F(TensorTest, TooManyOrNegativeSizesAreABug) {
  EXPECT_NO_THROW(Tensor(values.data(), DType::f32, {1, 1, 1, 1, 1}));
  EXPECT_THROW(Tensor(values.data(), DType::f32, {1, 1, 1, 1, 1, 1}), BugError);
  EXPECT_THROW(Tensor(values.data(), DType::f32, {2, -1}), BugError);
}

TEST_F(TensorTest, WrongElementTypeIsABug) {
  EXPECT_THROW(tensor.as<double>(), BugError);
  EXPECT_THROW(tensor.as<int32_t>(), BugError);
}

TEST_F(TensorTest, ViewKeepsElements) {
  const Tensor flat = tensor.view({24});
  EXPECT_EQ(flat.data(), tensor.data());
  EXPECT_EQ(flat.rank(), 1);
  EXPECT_THROW(tensor.view({23}), BugError);
  EXPECT_THROW(tensor.view({5, 5}), BugError);
}

TEST_F(TensorTest, RowsStartAtTheirFirstElement) {
  const Tensor middle = tensor.rows(1, 2);
  EXPECT_TRUE(middle.has_sizes({2, 3, 2}));
  EXPECT_EQ(middle.as<float>(), values.data() + 6);
  EXPECT_EQ(middle.rows(1, 1).as<float>(), values.data() + 12);
  EXPECT_EQ(tensor.rows(4, 0).count(), 0);
}

TEST_F(TensorTest, RowsOutOfBoundsAreABug) {
  EXPECT_THROW(tensor.rows(0, 5), BugError);
  EXPECT_THROW(tensor.rows(3, 2), BugError);
  EXPECT_THROW(tensor.rows(-1, 2), BugError);
  EXPECT_THROW(tensor.rows(2, -1), BugError);
  EXPECT_THROW(tensor.rows(1, std::numeric_limits<int64_t>::max()), BugError);
}

TEST_F(TensorTest, RowsOfAPlannedTensorHaveNoMemory) {
  EXPECT_EQ(Tensor(nullptr, DType::f32, {4, 2}).rows(2, 1).data(), nullptr);
}

}  // namespace
}  // namespace gptmoe
