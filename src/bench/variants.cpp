#include "bench/variants.h"

#include "base/check.h"
#include "base/progress.h"
#include "engine/notes.h"
#include "train/given_config.h"

namespace gptmoe {
namespace {

void set_tokens(Config& config, int64_t tokens) {
  TrainConfig& train = config.train;
  if (tokens % train.sequence_length != 0)
    user_error("--tokens ", tokens, ": not a multiple of train.sequence_length ", train.sequence_length);
  train.micro_batch_size = train.global_batch_size = tokens / train.sequence_length;
}

}  // namespace

std::vector<Variant> make_variants(const VariantOptions& options, const BenchOptions& bench) {
  // The value 0 leaves the config unchanged. So without given values, a config has one variant.
  const std::vector<int64_t> as_it_is = {0};
  std::vector<Variant> variants;
  for (size_t place = 0; place < options.configs.size(); ++place) {
    const std::string& path = options.configs[place];
    for (const int64_t experts : options.experts.empty() ? as_it_is : options.experts) {
      for (const int64_t tokens : options.tokens.empty() ? as_it_is : options.tokens) {
        std::vector<std::string> overrides = options.overrides;
        if (experts > 0) overrides.push_back(text("model.num_experts=", experts));
        Variant variant{std::filesystem::path(path).stem().string(), path, place, load_given_config(path, overrides)};
        if (tokens > 0) set_tokens(variant.config, tokens);
        if (variant.config.train.auto_micro_batch())
          user_error(path,
                     ": train.micro_batch_size: \"auto\", but a benchmark needs a number; add --set "
                     "train.micro_batch_size=N");
        if (!bench.device.empty()) variant.config.device = bench.device;
        if (!bench.precision.empty()) variant.config.precision = bench.precision;
        if (!bench.hopper.empty()) variant.config.kernels.hopper = bench.hopper;
        if (experts > 0) variant.label += text(", ", plural(experts, "expert"));
        if (tokens > 0) variant.label += text(", ", plural(tokens, "token"));
        variant.hopper = choose_hopper_with_note(variant.config, bench.hopper_check);
        variants.push_back(std::move(variant));
      }
    }
  }
  return variants;
}

}  // namespace gptmoe
