#include "memory/param_table.h"

#include <gtest/gtest.h>

#include "base/bf16.h"

namespace gptmoe {
namespace {

// Matrices in bf16, and between them matrices that layers read in f32.
class MixedPrecision : public ::testing::Test {
 protected:
  MixedPrecision() {
    first_ = params_.add({"first", {3, 5}, Init::normal(1)});
    router_ = params_.add({"router", {2, 5}, Init::normal(1), true, true});
    last_ = params_.add({"last", {4}, Init::ones(), false});
    second_router_ = params_.add({"second_router", {2, 5}, Init::normal(1), true, true});
  }
  // `held`: the elements that the f32 master holds.
  void bind(const Partition& held) {
    values_.resize(static_cast<size_t>(params_.element_count()));
    master_.resize(static_cast<size_t>(held.count()));
    params_.bind(Tensor(values_.data(), DType::bf16, {params_.element_count()}), {},
                 Tensor(master_.data(), DType::f32, {held.count()}), held);
    params_.initialize(host_memory(), 3);
  }
  // The row's initial values in f32.
  std::vector<double> expected(const ParamRow& row) {
    std::vector<float> values(static_cast<size_t>(row.count));
    initialize_row(host_memory(), {{Tensor(values.data(), DType::f32, {row.count})}}, row.count, row.init, 3, row.name);
    return {values.begin(), values.end()};
  }
  static std::vector<double> rounded(std::vector<double> values) {
    for (double& value : values) value = bf16_value(bf16_bits(static_cast<float>(value)));
    return values;
  }

  ParamTable params_{DType::bf16};
  ParamId first_, router_, last_, second_router_;
  std::vector<uint16_t> values_;
  std::vector<float> master_;
};

TEST_F(MixedPrecision, TheMasterHoldsEveryRowAndLayersReadItInBf16OrF32) {
  bind(params_.whole());
  for (const ParamRow& row : params_.rows()) {
    EXPECT_EQ(params_.row_value(row).dtype(), DType::f32) << row.name;
    EXPECT_EQ(download_values(host_memory(), params_.row_value(row)), expected(row)) << row.name;
    ASSERT_EQ(params_.row_parts(row).size(), 2u);
    EXPECT_EQ(download_values(host_memory(), params_.row_parts(row)[0].elements), rounded(expected(row))) << row.name;
  }
  EXPECT_EQ(params_.value(first_).describe(), "bf16 (3, 5)");
  EXPECT_EQ(params_.value(router_).describe(), "f32 (2, 5)");
  EXPECT_EQ(params_.value(router_).data(), params_.row_value(params_.rows()[1]).data());
}

TEST_F(MixedPrecision, AForwardOnlyModelKeepsF32RowsOnlyWhereLayersReadF32) {
  EXPECT_LT(params_.stat_rows().count(), params_.element_count());
  bind(params_.stat_rows());
  const auto& rows = params_.rows();
  for (const ParamId id : {router_, second_router_}) {
    const ParamRow& row = rows[static_cast<size_t>(id.block)];
    EXPECT_EQ(params_.value(id).describe(), "f32 (2, 5)");
    EXPECT_EQ(download_values(host_memory(), params_.value(id)), expected(row)) << row.name;
  }
  for (const ParamId id : {first_, last_}) {
    const ParamRow& row = rows[static_cast<size_t>(id.block)];
    EXPECT_EQ(params_.row_parts(row).size(), 1u);
    EXPECT_EQ(download_values(host_memory(), params_.value(id)), rounded(expected(row))) << row.name;
  }
}

TEST_F(MixedPrecision, RowsOfABlockShareOnePrecision) {
  EXPECT_THROW(params_.add_block({2}, {{"a", {1}, Init::ones()}, {"b", {1}, Init::ones(), true, true}}), BugError);
}

}  // namespace
}  // namespace gptmoe
