// Muon over a table like a model's, against plain loops in double.
#include "engine/muon.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <vector>

#include "support/optimizer_fixture.h"

namespace gptmoe {
namespace {

using Matrix = std::vector<double>;

// a (M, K) times b (K, N).
Matrix times(const Matrix& a, const Matrix& b, int64_t M, int64_t K, int64_t N) {
  Matrix c(static_cast<size_t>(M * N));
  for (int64_t m = 0; m < M; ++m)
    for (int64_t k = 0; k < K; ++k)
      for (int64_t n = 0; n < N; ++n) c[m * N + n] += a[m * K + k] * b[k * N + n];
  return c;
}

Matrix transposed(const Matrix& a, int64_t M, int64_t N) {
  Matrix out(a.size());
  for (int64_t m = 0; m < M; ++m)
    for (int64_t n = 0; n < N; ++n) out[n * M + m] = a[m * N + n];
  return out;
}

// The published iteration, always with X X^T.
Matrix reference_newton_schulz(Matrix x, int64_t M, int64_t N) {
  double squares = 0;
  for (double each : x) squares += each * each;
  for (double& each : x) each /= std::sqrt(squares) + 1e-7;
  for (int step = 0; step < 5; ++step) {
    const Matrix a = times(x, transposed(x, M, N), M, N, M), aa = times(a, a, M, M, M);
    Matrix b(a.size());
    for (size_t i = 0; i < a.size(); ++i) b[i] = -4.7750 * a[i] + 2.0315 * aa[i];
    const Matrix change = times(b, x, M, M, N);
    for (size_t i = 0; i < x.size(); ++i) x[i] = 3.4445 * x[i] + change[i];
  }
  return x;
}

// Matrices that are wide, tall and square; four of one shape in a block; a vector and a matrix for AdamW.
class MuonOverTable : public testing::OptimizerOverTable {
 protected:
  MuonOverTable() {
    params_.add({"embed.weight", {6, 5}, Init::normal(1)});
    params_.end_bucket();
    params_.add({"wide_proj.weight", {3, 8}, Init::normal(1)});
    params_.add({"tall_proj.weight", {9, 4}, Init::normal(1)});
    params_.add({"norm.weight", {7}, Init::ones(), false});
    params_.add_block({4, 6, 5}, {{"experts.0.up_proj.weight", {6, 5}, Init::normal(1)},
                                  {"experts.1.up_proj.weight", {6, 5}, Init::normal(1)},
                                  {"experts.2.up_proj.weight", {6, 5}, Init::normal(1)},
                                  {"experts.3.up_proj.weight", {6, 5}, Init::normal(1)}});
    params_.add_block({2, 5, 6}, {{"experts.0.down_proj.weight", {5, 6}, Init::normal(1)},
                                  {"experts.1.down_proj.weight", {5, 6}, Init::normal(1)}});
    params_.add({"square_proj.weight", {5, 5}, Init::normal(1)});
    params_.end_bucket();
  }

  void prepare(OptimizerConfig config) {
    config.type = "muon";
    config.learning_rate = kRate;
    OptimizerOverTable::prepare(config);
    for (const ParamRow& row : params_.rows()) {
      const float* values = params_.row_value(row).as<float>();
      reference_[row.name].assign(values, values + row.count);
      m_[row.name].resize(static_cast<size_t>(row.count));
    }
  }

  void step(int64_t step) { update(kRate, step); }

  void reference_step() {
    for (const ParamRow& row : params_.rows()) {
      if (!row.name.ends_with("_proj.weight")) continue;
      Matrix& m = m_[row.name];
      Matrix u(m.size());
      for (size_t i = 0; i < m.size(); ++i) {
        const double g = params_.row_grad(row).as<float>()[i];
        m[i] = config_.momentum * m[i] + g;
        u[i] = g + config_.momentum * m[i];
      }
      const Matrix update = reference_newton_schulz(u, row.sizes[0], row.sizes[1]);
      const double scale = muon_scale(config_.muon_scale, row.sizes[0], row.sizes[1]);
      Matrix& x = reference_[row.name];
      for (size_t i = 0; i < x.size(); ++i) x[i] -= kRate * (scale * update[i] + config_.weight_decay * x[i]);
    }
  }

  void expect_reference(double tolerance) {
    for (const ParamRow& row : params_.rows()) {
      if (!row.name.ends_with("_proj.weight")) continue;
      for (size_t i = 0; i < reference_[row.name].size(); ++i) {
        EXPECT_NEAR(params_.row_value(row).as<float>()[i], reference_[row.name][i], tolerance) << row.name << " " << i;
        EXPECT_NEAR(params_.row_view(optimizer_->m().values(), row).as<float>()[i], m_[row.name][i], 1e-5) << row.name;
      }
    }
  }

  std::vector<float> values(const Tensor& x) const { return {x.as<float>(), x.as<float>() + x.count()}; }

  static constexpr double kRate = 0.02;
  std::map<std::string, Matrix> reference_, m_;
};

TEST_F(MuonOverTable, FollowsAPlainReference) {
  prepare({.weight_decay = 0.3, .grad_clip = 0, .momentum = 0.9});
  for (int64_t s = 1; s <= 4; ++s) {
    set_gradients(1, s);
    reference_step();
    step(s);
  }
  expect_reference(2e-5);
}

TEST_F(MuonOverTable, FollowsAPlainReferenceWithTheOriginalScale) {
  prepare({.weight_decay = 0, .grad_clip = 0, .momentum = 0, .muon_scale = "original"});
  set_gradients(1, 1);
  reference_step();
  step(1);
  expect_reference(2e-5);
}

TEST_F(MuonOverTable, MovesByDecayAloneWithoutAGradient) {
  prepare({.weight_decay = 0.5, .grad_clip = 1});
  set_gradients(0, 1);
  step(1);
  for (auto& [name, x] : reference_)
    for (double& each : x) each *= 1 - kRate * 0.5;
  expect_reference(1e-6);
}

TEST_F(MuonOverTable, ChangesNothingIfTheLossIsNotFinite) {
  prepare({});
  set_gradients(1, 1);
  step(1);
  const std::vector<float> weights = values(params_.values()), moments = values(optimizer_->m().values());
  loss_1_.as<float>()[0] = std::numeric_limits<float>::infinity();
  set_gradients(1, 2);
  step(2);
  EXPECT_EQ(values(params_.values()), weights);
  EXPECT_EQ(values(optimizer_->m().values()), moments);
}

TEST_F(MuonOverTable, KeepsSecondMomentsOfAdamwsRowsOnly) {
  prepare({});
  int64_t expected = 0;
  for (const ParamRow& row : params_.rows()) {
    const bool muon = row.name.ends_with("_proj.weight");
    EXPECT_EQ(optimizer_->second_moments().within(row.offset, row.count).empty(), muon) << row.name;
    expected += muon ? row.count : 0;
  }
  EXPECT_EQ(optimizer_->v().values().count(), params_.element_count() - expected);
}

TEST(MuonScale, FollowsTheTwoConventions) {
  EXPECT_DOUBLE_EQ(muon_scale("match_rms_adamw", 400, 100), 4);
  EXPECT_DOUBLE_EQ(muon_scale("match_rms_adamw", 100, 400), 4);
  EXPECT_DOUBLE_EQ(muon_scale("original", 400, 100), 2);
  EXPECT_DOUBLE_EQ(muon_scale("original", 100, 400), 1);
}

}  // namespace
}  // namespace gptmoe
