#include "model/layer_setup.h"

#include <cmath>

namespace gptmoe {

InitScheme::InitScheme(const ModelConfig& config) {
  const auto width = static_cast<double>(config.hidden_size);
  const auto layers = static_cast<double>(config.num_hidden_layers);
  const bool small = config.init == "small_wang" || config.init == "small";
  weight = small ? std::sqrt(2.0 / (5.0 * width)) : config.initializer_range;
  residual_writer = weight;
  if (config.init == "small_wang") residual_writer = 2.0 / (layers * std::sqrt(width));
  if (config.init == "gpt2") residual_writer = weight / std::sqrt(2.0 * layers);
}

}  // namespace gptmoe
