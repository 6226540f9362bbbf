#pragma once
// Options of commands that run a checkpoint's model: --device, --precision and --tokenizer override the run's settings.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/printable.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/held_checkpoint.h"
#include "cli/path_check.h"
#include "config/config.h"
#include "tokenizer/tokenizer_file.h"
#include "train/run_inputs.h"

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

// Which of a checkpoint's weights a command uses.
struct WeightsOption {
  bool average = false;

  void add_to(CLI::App& command) {
    command.add_flag("--weight-ema", average, "Use the moving average of the weights, which train.weight_ema keeps");
  }
  Weights weights() const { return average ? Weights::average : Weights::last; }
};

// Calls hold_checkpoint() for a command that uses the model. Prints a note if the run has a later checkpoint.
inline HeldCheckpoint hold_model(const std::filesystem::path& path, std::FILE* notes = stdout) {
  HeldCheckpoint held = hold_checkpoint(path);
  if (!held.note.empty()) std::fprintf(notes, "note: %s\n", printable(held.note).c_str());
  return held;
}

inline Config checkpoint_config(const std::filesystem::path& checkpoint, const BackendOptions& options) {
  Config config = parse_config(read_checkpoint_state(checkpoint).config, checkpoint.string());
  if (!options.device.empty()) {
    config.device = options.device;
    config.precision = "auto";
  }
  if (!options.precision.empty()) config.precision = options.precision;
  return config;
}

// The tokenizer that a command uses: the run's, unless --tokenizer names one.
struct TokenizerArguments {
  std::string file, pattern;  // empty file: the run's tokenizer; empty pattern: the tokenizer's own

  void add_to(CLI::App& command) {
    command.add_option("--tokenizer", file, "Tokenizer (default: the run's)")->check(path_given());
    command.add_option("--pattern", pattern,
                       "How a rank file (.tiktoken) splits text into words: " + std::string(split_pattern_names()));
  }
  bool given() const { return !file.empty() || !pattern.empty(); }
};

// The tokenizer that the arguments name, or else the checkpoint's. Throws the errors of find_tokenizer() and
// load_tokenizer(), and UserError if the tokenizer has more tokens than the model's vocabulary.
inline Tokenizer model_tokenizer(const std::filesystem::path& checkpoint, const Config& config,
                                 const TokenizerArguments& arguments) {
  TokenizerOptions options;
  if (!arguments.pattern.empty()) {
    options.pattern = split_pattern_of(arguments.pattern);
    if (!options.pattern) user_error("--pattern ", arguments.pattern, ": give ", split_pattern_names());
  }
  const std::filesystem::path path =
      arguments.file.empty() ? find_tokenizer(checkpoint, config) : std::filesystem::path(arguments.file);
  Tokenizer tokenizer = load_tokenizer(path, options);
  if (tokenizer.vocab_size() > config.model.vocab_size)
    user_error(path.string(), ": ", tokenizer.vocab_size(), " tokens, but the model's vocabulary has ",
               config.model.vocab_size, "; pass the tokenizer the model was trained with");
  return tokenizer;
}

// The shards that the pattern `option` matches, or the run's validation shards if `option` is empty. Prints a note if
// the run's shards have changed.
inline DataSources shards_to_measure(const std::filesystem::path& checkpoint, const Config& config,
                                     const std::string& option) {
  if (!option.empty()) return {{option}};
  const FoundShards found = find_validation_shards(checkpoint, config);
  if (!found.note.empty()) std::printf("note: %s\n", printable(found.note).c_str());
  return found.sources;
}

}  // namespace gptmoe
