#pragma once
// An optimizer over a table of parameters, on one rank.
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "base/rng.h"
#include "engine/optimizer.h"
#include "kernels/plan_ops.h"

namespace gptmoe::testing {

class OptimizerOverTable : public ::testing::Test {
 protected:
  // Makes the optimizer and fills the parameters with their initial values. Call it when params_ has all its rows.
  void prepare(const OptimizerConfig& config) {
    config_ = config;
    optimizer_.emplace(config, params_);
    lay_out();
    Ops planning = make_plan_ops(*ops_);  // finds the size of the scratch memory
    optimizer_->update({planning, scratch_, *communicator_, PassKind::train}, params_, squared_norm_1_, loss_1_);
    arena_.commit();
    scratch_.commit();
    lay_out();
    optimizer_->prepare(host_memory());
    params_.initialize(host_memory(), 5);
  }

  // Sets the gradients to normal numbers of standard deviation `size`, different in each step.
  void set_gradients(double size, int64_t step) {
    for (const ParamRow& row : params_.rows())
      for (int64_t i = 0; i < row.count; ++i)
        params_.row_grad(row).as<float>()[i] = static_cast<float>(
            size * Rng(3, static_cast<uint64_t>(step)).normal(static_cast<uint64_t>(row.offset + i)));
  }

  void update(double learning_rate, int64_t step) {
    optimizer_->measure_norm(pass_, params_, squared_norm_1_);
    optimizer_->set_step(host_memory(), learning_rate, step);
    optimizer_->update(pass_, params_, squared_norm_1_, loss_1_);
  }

  ParamTable params_{DType::f32};
  OptimizerConfig config_;
  std::optional<Optimizer> optimizer_;
  Tensor squared_norm_1_, loss_1_;

 private:
  void lay_out() {
    const Tensor values = arena_.allocate(DType::f32, {params_.element_count()});
    params_.bind(values, arena_.allocate(DType::f32, {params_.element_count()}));
    optimizer_->allocate(arena_, params_.whole(), DType::f32);
    squared_norm_1_ = arena_.allocate(DType::f32, {1});
    loss_1_ = arena_.allocate(DType::f32, {1});
  }

  Arena arena_{"test"};
  std::unique_ptr<Ops> ops_ = make_cpu_ops(1);
  std::unique_ptr<Communicator> communicator_ = make_single_communicator();
  Scratch scratch_;
  Pass pass_{*ops_, scratch_, *communicator_, PassKind::train};
};

}  // namespace gptmoe::testing
