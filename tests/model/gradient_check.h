#pragma once
// Compares the whole model's gradient with central differences, in double precision.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "support/model_fixture.h"

namespace gptmoe::testing {

// Mean cross-entropy plus the balance loss and all z-losses as a function of the parameters, with the routers' state
// fixed.
inline double objective(Model& model, PassKind kind = PassKind::evaluate) {
  const Activations& a = model.activations();
  const ModelConfig& config = model.config.model;
  model.gpt().forward(model.pass(kind), a);
  model.gpt().loss(model.pass(PassKind::evaluate), a);
  double sum = 0;
  const int64_t N = a.losses_N.size(0);
  for (int64_t n = 0; n < N; ++n) {
    sum += host_value(a.losses_N, n);
    if (a.lse_N.present()) sum += config.output_z_loss_coef * std::pow(host_value(a.lse_N, n), 2);
  }
  double objective = sum / static_cast<double>(N);
  if (!a.router_stats_LW.present()) return objective;
  for (const BlockSaved& block : a.blocks) {
    if (!block.moe.balance_loss_1.present()) continue;
    double squares = 0;
    for (int64_t n = 0; n < N; ++n) squares += std::pow(host_value(block.moe.routing.lse_N, n), 2);
    objective += config.router_aux_loss_coef * host_value(block.moe.balance_loss_1, 0) +
                 config.router_z_loss_coef * squares / static_cast<double>(N);
  }
  return objective;
}

// Compares the gradients at a few elements of every parameter with central differences of `objective`.
inline void expect_central_differences(Model& model, const std::function<double()>& objective) {
  const ParamTable& params = model.gpt().params();
  constexpr double kStep = 1e-5;
  constexpr uint64_t kProbes = 4;
  for (const ParamRow& row : params.rows()) {
    double* value = params.row_value(row).as<double>();
    const double* grad = params.row_grad(row).as<double>();
    double scale = 1e-4;
    for (int64_t i = 0; i < row.count; ++i) scale = std::max(scale, std::abs(grad[i]));
    const Rng rng(5, hash_bytes(row.name));
    for (uint64_t probe = 0; probe < kProbes; ++probe) {
      const auto i = static_cast<int64_t>(rng.below(probe, static_cast<uint64_t>(row.count)));
      const double original = value[i];
      const auto at = [&](double steps) {
        value[i] = original + steps * kStep;
        return objective();
      };
      // Fourth order, so that the truncation error is negligible next to rounding.
      const double numeric = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * kStep);
      value[i] = original;
      EXPECT_NEAR(grad[i], numeric, 1e-6 * scale + 2e-11) << row.name << "[" << i << "]";
    }
  }
}

// Compares the gradient of batch 0 with differences of `objective`, with random router state.
inline void expect_exact_gradient(Model& model, const std::function<double()>& objective) {
  const Activations& a = model.activations();
  model.load_batch(0);
  for (const StateRow& row : model.gpt().state().rows())
    if (row.persistent && row.dtype != DType::i64)
      initialize_row(host_memory(), {{row.value.view({row.value.count()})}}, row.value.count(), Init::normal(0.5), 7,
                     row.name);

  const Pass pass = model.pass(PassKind::train);
  model.ops->zero(model.gpt().params().grads());
  model.gpt().forward(pass, a);
  model.gpt().loss_and_backward(pass, a, 1.0 / static_cast<double>(a.losses_N.size(0)));
  expect_central_differences(model, objective);
}

}  // namespace gptmoe::testing
