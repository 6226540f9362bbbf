#pragma once
// For commands that run a checkpoint's model: --device and --precision, instead of those that it was trained with.
#include <CLI/CLI.hpp>

#include "config/config.h"
#include "train/checkpoint.h"

namespace gptmoe {

struct BackendOptions {
  std::string device, precision;  // empty: the run's

  void add_to(CLI::App& command) {
    command.add_option("--device", device, "auto, cpu or cuda (default: the run's)")
        ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
    command.add_option("--precision", precision, "auto, f32 or bf16 (default: the run's, or auto with --device)")
        ->check(CLI::IsMember({"auto", "f32", "bf16"}));
  }
};

inline Config checkpoint_config(const std::filesystem::path& checkpoint, const BackendOptions& options) {
  Config config = parse_config(read_checkpoint_state(checkpoint).at("config"), checkpoint.string());
  if (!options.device.empty()) {
    config.device = options.device;
    config.precision = "auto";
  }
  if (!options.precision.empty()) config.precision = options.precision;
  return config;
}

}  // namespace gptmoe
