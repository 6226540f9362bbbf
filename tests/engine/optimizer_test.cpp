#include "engine/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/block_code.h"
#include "model/gpt.h"
#include "support/optimizer_fixture.h"

namespace gptmoe {
namespace {

// A table like a model's: rows of odd sizes, single and in blocks, with and without weight decay, and neighbours of the
// same kind.
class AdamwOverTable : public testing::OptimizerOverTable {
 protected:
  AdamwOverTable() {
    params_.add({"first", {3, 5}, Init::normal(1)});
    params_.add({"norm.weight", {7}, Init::ones(), false});
    params_.add({"norm.bias", {7}, Init::normal(1), false});
    params_.add_block({2, 3}, {{"one", {1, 3}, Init::normal(1)}, {"two", {1, 3}, Init::normal(1)}});
  }

  void prepare(const OptimizerConfig& config) {
    OptimizerOverTable::prepare(config);
    for (const ParamRow& row : params_.rows()) {
      const float* values = params_.row_value(row).as<float>();
      reference_.emplace_back(values, values + row.count);
      m_.emplace_back(static_cast<size_t>(row.count));
      v_.emplace_back(static_cast<size_t>(row.count));
    }
  }

  double gradient_norm() {
    double sum = 0;
    for (const ParamRow& row : params_.rows())
      for (int64_t i = 0; i < row.count; ++i) sum += std::pow(params_.row_grad(row).as<float>()[i], 2);
    return std::sqrt(sum);
  }

  // AdamW as in Loshchilov & Hutter, one scalar at a time.
  void reference_step(double lr, int64_t step) {
    const double norm = gradient_norm();
    const double scale = config_.grad_clip > 0 ? std::min(1.0, config_.grad_clip / norm) : 1.0;
    const auto t = static_cast<double>(step);
    for (size_t r = 0; r < reference_.size(); ++r) {
      const ParamRow& row = params_.rows()[r];
      for (size_t i = 0; i < reference_[r].size(); ++i) {
        const double g = scale * params_.row_grad(row).as<float>()[i];
        double &m = m_[r][i], &v = v_[r][i], &x = reference_[r][i];
        m = config_.beta1 * m + (1 - config_.beta1) * g;
        v = config_.beta2 * v + (1 - config_.beta2) * g * g;
        const double m_hat = m / (1 - std::pow(config_.beta1, t)), v_hat = v / (1 - std::pow(config_.beta2, t));
        x -= lr * (m_hat / (std::sqrt(v_hat) + config_.eps) + (row.weight_decay ? config_.weight_decay * x : 0.0));
      }
    }
  }

  void step(double lr, int64_t step) {
    reference_step(lr, step);
    update(lr, step);
    EXPECT_NEAR(std::sqrt(squared_norm_1_.as<float>()[0]), gradient_norm(), 1e-5 * gradient_norm());
  }

  void expect_reference() {
    for (size_t r = 0; r < reference_.size(); ++r) {
      const ParamRow& row = params_.rows()[r];
      for (size_t i = 0; i < reference_[r].size(); ++i) {
        EXPECT_NEAR(params_.row_value(row).as<float>()[i], reference_[r][i], 3e-6) << row.name << " " << i;
        EXPECT_NEAR(params_.row_view(optimizer_->m().values(), row).as<float>()[i], m_[r][i], 3e-6)
            << row.name << " " << i;
        EXPECT_NEAR(params_.row_view(optimizer_->v().values(), row).as<float>()[i], v_[r][i], 3e-6)
            << row.name << " " << i;
      }
    }
  }

  std::vector<std::vector<double>> reference_, m_, v_;
};

TEST_F(AdamwOverTable, FollowsAScalarReference) {
  prepare({.beta1 = 0.8, .beta2 = 0.9, .eps = 1e-6, .weight_decay = 0.3, .grad_clip = 0});
  for (int64_t s = 1; s <= 4; ++s) {
    set_gradients(0.7, s);
    step(0.02 / static_cast<double>(s), s);
  }
  expect_reference();
}

TEST_F(AdamwOverTable, ClipsALargeGradientToTheGivenNorm) {
  prepare({.beta1 = 0.8, .beta2 = 0.9, .eps = 0.1, .weight_decay = 0.3, .grad_clip = 0.5});
  set_gradients(5.0, 1);
  ASSERT_GT(gradient_norm(), 0.5);
  step(0.02, 1);
  expect_reference();
  double norm = 0;  // after one step m is (1 - beta1) times the clipped gradient
  for (const ParamRow& row : params_.rows())
    for (int64_t i = 0; i < row.count; ++i)
      norm += std::pow(params_.row_view(optimizer_->m().values(), row).as<float>()[i] / 0.2, 2);
  EXPECT_NEAR(std::sqrt(norm), 0.5, 1e-5);
}

TEST_F(AdamwOverTable, LeavesASmallGradientUnclipped) {
  prepare({.eps = 0.1, .grad_clip = 1e3});
  set_gradients(0.01, 1);
  step(0.02, 1);
  expect_reference();
}

TEST_F(AdamwOverTable, DecaysOnlyRowsThatAskForIt) {
  prepare({.weight_decay = 0.5, .grad_clip = 0});
  set_gradients(0, 1);
  const auto before = reference_;
  step(0.1, 1);
  for (size_t r = 0; r < before.size(); ++r) {
    const ParamRow& row = params_.rows()[r];
    for (size_t i = 0; i < before[r].size(); ++i)
      EXPECT_FLOAT_EQ(params_.row_value(row).as<float>()[i],
                      static_cast<float>(before[r][i] * (row.weight_decay ? 0.95 : 1.0)))
          << row.name;
  }
}

// The mean of a moment over the table.
double mean_of(const Tensor& moment) {
  double sum = 0;
  for (const double value : download_values(host_memory(), moment)) sum += value;
  return sum / static_cast<double>(moment.count());
}

// After one gradient, the second moment falls by a thousandth of itself per step: less than half the distance between
// neighbouring bf16 numbers, so that rounding to the nearest would keep it for ever. The table has many equal elements,
// whose mean is near the exact moment.
TEST_F(AdamwOverTable, MomentsInBf16FollowSmallChangesOnAverage) {
  params_.add({"large", {40, 100}, Init::normal(1)});
  prepare({.beta1 = 0.9, .beta2 = 0.999, .grad_clip = 0, .state_dtype = "bf16"});
  ASSERT_EQ(optimizer_->v().values().dtype(), DType::bf16);
  for (int64_t s = 1; s <= 300; ++s) {
    for (const ParamRow& row : params_.rows())
      std::fill_n(params_.row_grad(row).as<float>(), row.count, s == 1 ? 1.0f : 0.0f);
    update(1e-3, s);
  }
  const double expected = 1e-3 * std::pow(0.999, 299);
  EXPECT_NEAR(mean_of(params_.row_view(optimizer_->v().values(), params_.rows().back())), expected, 0.01 * expected);
}

// A step that is not taken leaves bf16 moments as they are, bit by bit.
TEST_F(AdamwOverTable, MomentsInBf16StayAfterAFailedStep) {
  prepare({.grad_clip = 0, .state_dtype = "bf16"});
  set_gradients(0.7, 1);
  update(1e-3, 1);
  const std::vector<double> m = download_values(host_memory(), optimizer_->m().values()),
                            v = download_values(host_memory(), optimizer_->v().values());
  EXPECT_GT(mean_of(optimizer_->v().values()), 0);
  set_gradients(std::numeric_limits<double>::infinity(), 2);
  update(1e-3, 2);
  EXPECT_EQ(download_values(host_memory(), optimizer_->m().values()), m);
  EXPECT_EQ(download_values(host_memory(), optimizer_->v().values()), v);
}

std::vector<double> decoded(const Moment& moment, bool has_sign) {
  const CodedElements& coded = moment.coded();
  std::vector<float> values(static_cast<size_t>(coded.codes.count()));
  const Tensor out(values.data(), DType::f32, {coded.codes.count()});
  make_cpu_ops(1)->decode_blocks(out, coded.codes, coded.scales, has_sign);
  return download_values(host_memory(), out);
}

// Only matrices that share no block with other rows are kept in codes.
TEST_F(AdamwOverTable, CodesHoldMatricesWithBlocksOfTheirOwn) {
  params_.add({"router.weight", {4, 100}, Init::normal(1), true, true});
  params_.add_block(
      {3, 2, 128},
      {{"a", {2, 128}, Init::normal(1)}, {"b", {2, 128}, Init::normal(1)}, {"c", {2, 128}, Init::normal(1)}});
  params_.end_bucket();
  std::vector<std::string> names;
  const Partition coded = coded_rows(params_, std::vector<bool>(params_.rows().size()));
  for (const ParamRow& row : params_.rows())
    if (!coded.within(row.offset, row.count).empty()) names.push_back(row.name);
  EXPECT_EQ(names, (std::vector<std::string>{"first", "a", "b", "c"}));
  std::vector<bool> excluded(params_.rows().size());
  excluded.back() = true;
  EXPECT_EQ(coded_rows(params_, excluded).count(), coded.count() - kBlockElements);
}

// As with bf16: neighbouring codes are up to a tenth apart. Rounding to the nearest would never change the second
// moments of the elements that are not the largest of their block.
TEST_F(AdamwOverTable, MomentsInCodesFollowSmallChangesOnAverage) {
  params_.add({"large", {40, 128}, Init::normal(1)});
  params_.end_bucket();
  prepare({.beta1 = 0.9, .beta2 = 0.99, .grad_clip = 0, .state_dtype = "8bit"});
  const auto fill = [&](const auto& gradient) {
    for (const ParamRow& row : params_.rows())
      for (int64_t i = 0; i < row.count; ++i) params_.row_grad(row).as<float>()[i] = gradient(i);
  };
  // The first element of each block has a constant gradient, the others a gradient in the first step only.
  for (int64_t s = 1; s <= 100; ++s) {
    fill([&](int64_t i) { return i % kBlockElements == 0 ? 2.0f : s == 1 ? 1.0f : 0.0f; });
    update(1e-3, s);
  }
  const std::vector<double> v = decoded(optimizer_->v(), false);
  double sum = 0;
  const size_t others = v.size() - 5120;  // the row "first"
  for (size_t i = others; i < v.size(); ++i) {
    EXPECT_GT(v[i], 0) << i;
    if (i % kBlockElements == 0) {
      EXPECT_NEAR(v[i], 4 * (1 - std::pow(0.99, 100)), 1e-3) << i;
    } else {
      sum += v[i];
    }
  }
  const double expected = 0.01 * std::pow(0.99, 99);
  EXPECT_NEAR(sum / (5120 - 20), expected, 0.03 * expected);
}

TEST_F(AdamwOverTable, MomentsInCodesStayAfterAFailedStep) {
  params_.add({"large", {40, 100}, Init::normal(1)});
  prepare({.grad_clip = 0, .state_dtype = "8bit"});
  const auto bytes = [&] {
    std::vector<char> all;
    for (const Moment* moment : {&optimizer_->m(), &optimizer_->v()})
      for (const Tensor& tensor : {moment->coded().codes, moment->coded().scales, moment->values()}) {
        const char* data = static_cast<const char*>(tensor.data());
        all.insert(all.end(), data, data + tensor.bytes());
      }
    return all;
  };
  const std::vector<char> before = bytes();
  for (int64_t s = 1; s <= 3; ++s) {
    set_gradients(0.7, s);
    update(1e-3, s);
  }
  const std::vector<char> after = bytes();
  EXPECT_NE(after, before);
  set_gradients(std::numeric_limits<double>::infinity(), 4);
  update(1e-3, 4);
  EXPECT_EQ(bytes(), after);
}

TEST(WeightDecay, AppliesToEveryMatrixAndToNoNormOrBias) {
  ModelConfig config;
  config.vocab_size = 11;
  config.hidden_size = 8;
  config.num_hidden_layers = 2;
  config.num_attention_heads = config.num_key_value_heads = 2;
  config.head_dim = 4;
  config.intermediate_size = config.moe_intermediate_size = 6;
  config.num_experts = 3;
  config.first_k_dense_replace = 1;
  config.norm_type = "layernorm";
  config.qk_norm = config.attention_bias = true;
  config.max_position_embeddings = 4;
  const Gpt gpt(config, {}, DType::f32, DType::f32);
  int64_t exempt = 0;
  for (const ParamRow& row : gpt.params().rows()) {
    EXPECT_EQ(row.weight_decay, row.sizes.size() > 1) << row.name;
    const bool norm = row.name.find("norm") != std::string::npos || row.name.ends_with(".bias");
    EXPECT_EQ(row.weight_decay, !norm) << row.name;
    exempt += norm ? 1 : 0;
  }
  EXPECT_EQ(exempt, 2 * (2 * 2 + 2 + 4) + 2)
      << "per layer two norms with bias, two query/key norms and four attention biases; then the final norm";
}

}  // namespace
}  // namespace gptmoe
