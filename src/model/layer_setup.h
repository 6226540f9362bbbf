#pragma once
#include <string>

#include "config/config.h"
#include "memory/param_table.h"
#include "memory/state_table.h"

namespace gptmoe {

// Standard deviations of the weights' normal initialisers, by "model.init". A residual writer is a layer whose output
// is added to the residual stream: attention's output projection and every down projection.
//   small_wang: sqrt(2 / (5 C)) (Nguyen & Salazar 2019), residual writers 2 / (L sqrt(C)) (Wang & Komatsuzaki 2021)
//   small:      sqrt(2 / (5 C)) everywhere
//   normal:     initializer_range everywhere
//   gpt2:       initializer_range, residual writers divided by sqrt(2 L) (Radford et al. 2019)
struct InitScheme {
  double weight = 0;
  double residual_writer = 0;

  explicit InitScheme(const ModelConfig& config);
};

// What a module needs to declare its parameters and state.
struct LayerSetup {
  const ModelConfig& config;
  ParamTable& params;
  StateTable& state;
  DType stat;  // dtype of router state
  InitScheme init;
};

}  // namespace gptmoe
