#pragma once
// The weights in a run's checkpoints, and the check of their moving average (train.weight_ema).
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "support/model_fixture.h"
#include "support/run_fixture.h"

namespace gptmoe::testing {

// All parameters of a checkpoint, or their average. `config` describes the model and its device.
inline std::vector<double> weights_of(const Config& config, const fs::path& checkpoint, Weights weights) {
  Model model(config);
  load_model(checkpoint, model.gpt().params(), model.gpt().state(), host_memory(), weights);
  std::vector<double> values;
  for (const ParamRow& row : model.gpt().params().rows())
    for (const double value : download_values(host_memory(), model.gpt().params().row_value(row)))
      values.push_back(value);
  return values;
}

// Expects every checkpoint of a run that saved each step to hold the average of all weights so far.
inline void expect_averages(const Config& config, const fs::path& run, double decay) {
  std::vector<double> expected;
  for (const fs::path& checkpoint : list_checkpoints(run)) {
    const auto step = static_cast<double>(read_checkpoint_state(checkpoint).step);
    const double keep = std::min(decay, (step - 1) / step);
    const std::vector<double> weights = weights_of(config, checkpoint, Weights::last);
    expected.resize(weights.size());
    for (size_t i = 0; i < weights.size(); ++i) expected[i] = keep * expected[i] + (1 - keep) * weights[i];
    const std::vector<double> found = weights_of(config, checkpoint, Weights::average);
    for (size_t i = 0; i < weights.size(); ++i) ASSERT_NEAR(found[i], expected[i], 1e-6) << step << " " << i;
  }
}

}  // namespace gptmoe::testing
