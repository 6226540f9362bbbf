#include "inference/generate.h"

#include <cstdio>

#include "cli/checkpoint_config.h"
#include "cli/commands.h"
#include "cli/number_check.h"
#include "engine/backend.h"
#include "engine/memory_check.h"

namespace gptmoe {
namespace {

struct GenerateArguments {
  std::string run, prompt, tokenizer;
  int64_t tokens = 200;
  uint64_t seed = 1;
  SamplingOptions sampling;
  BackendOptions backend;
};

// An empty prompt starts where documents start: after an end-of-text token.
std::vector<int32_t> prompt_tokens(const Tokenizer& tokenizer, const std::string& prompt) {
  std::vector<int32_t> tokens = tokenizer.encode(prompt);
  if (!tokens.empty()) return tokens;
  if (!tokenizer.end_of_text()) user_error("--prompt: empty, and the tokenizer has no end-of-text token to start from");
  return {*tokenizer.end_of_text()};
}

void run(const GenerateArguments& arguments) {
  const auto checkpoint = resolve_checkpoint(arguments.run);
  const Config config = checkpoint_config(checkpoint, arguments.backend);
  const Tokenizer tokenizer = model_tokenizer(checkpoint, config, arguments.tokenizer);
  const auto ops = make_backend(config);
  Engine engine(config, Purpose::forward, 1, 1, *ops);
  require_room(config, engine, *ops, ops->memory());
  engine.commit(*ops);
  load_model(checkpoint, engine.gpt().params(), engine.gpt().state(), ops->memory());

  std::printf("%s", arguments.prompt.c_str());
  const auto on_token = [&](int32_t id) {
    if (id == tokenizer.end_of_text() || !tokenizer.knows(id)) return false;
    const std::string piece = tokenizer.decode(std::vector<int32_t>{id});
    std::fwrite(piece.data(), 1, piece.size(), stdout);
    std::fflush(stdout);
    return true;
  };
  generate(config, engine.gpt(), *ops, prompt_tokens(tokenizer, arguments.prompt), arguments.tokens, arguments.sampling,
           Rng(arguments.seed, 0), on_token);
  std::printf("\n");
}

}  // namespace

void add_generate_command(CLI::App& app) {
  auto arguments = std::make_shared<GenerateArguments>();
  CLI::App* command = app.add_subcommand("generate", "Continue a prompt with a trained model");
  command->add_option("run", arguments->run, "Run directory (its last checkpoint) or checkpoint")->required();
  command->add_option("--prompt", arguments->prompt, "Text to continue");
  command->add_option("--tokens", arguments->tokens, "Most tokens to generate")
      ->capture_default_str()
      ->check(whole_number(1));
  command->add_option("--temperature", arguments->sampling.temperature, "0: always the most likely token")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 100.0));
  command->add_option("--top-k", arguments->sampling.top_k, "Sample from the k most likely tokens (0: all)")
      ->capture_default_str()
      ->check(whole_number(0));
  command
      ->add_option("--top-p", arguments->sampling.top_p,
                   "Sample from the fewest most likely tokens that hold this probability")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--seed", arguments->seed, "Seed of the random choices")->capture_default_str();
  command->add_option("--tokenizer", arguments->tokenizer, kTokenizerHelp);
  arguments->backend.add_to(*command);
  command->callback([arguments] { run(*arguments); });
}

}  // namespace gptmoe
