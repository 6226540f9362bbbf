#include "inference/generate.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/file.h"
#include "base/json.h"
#include "base/printable.h"
#include "base/progress.h"
#include "checkpoint/finite_rows.h"
#include "cli/checkpoint_config.h"
#include "cli/commands.h"
#include "cli/interactive.h"
#include "cli/number_check.h"
#include "cli/path_check.h"
#include "engine/backend.h"
#include "engine/memory_check.h"
#include "engine/notes.h"
#include "inference/prompt_file.h"
#include "tokenizer/utf8.h"

namespace gptmoe {
namespace {

struct GenerateArguments {
  std::string run, prompts;
  TokenizerArguments tokenizer;
  std::optional<std::string> prompt;
  bool json = false, interactive = false;
  uint64_t seed = 1;
  ContinueOptions options;
  BackendOptions backend;
  WeightsOption weights;
};

Prompt prompt_from_standard_input() {
  Prompt prompt{"", "standard input"};
  char part[4096];
  for (ssize_t got; (got = read(STDIN_FILENO, part, sizeof part)) != 0;) {
    if (got < 0) user_error(prompt.place, ": cannot be read: ", std::strerror(errno), "; give --prompt TEXT");
    prompt.text.append(part, static_cast<size_t>(got));
  }
  if (prompt.text.ends_with('\n')) prompt.text.pop_back();  // the newline that echo adds
  return prompt;
}

std::vector<Prompt> prompts_of(const GenerateArguments& arguments) {
  if (!arguments.prompts.empty()) return read_prompts(arguments.prompts);
  const bool named = arguments.prompt && *arguments.prompt != "-";
  if (!named && (arguments.prompt || isatty(STDIN_FILENO) != 1)) return {prompt_from_standard_input()};
  return {Prompt{arguments.prompt.value_or(""), "--prompt"}};
}

// How many positions a TextCache has to hold, and the most tokens that it runs at a time.
struct Lengths {
  int64_t positions = 1, pass = 1;
};

Lengths lengths_of(const std::vector<std::vector<int32_t>>& prompts, int64_t tokens, int64_t context) {
  Lengths lengths;
  for (const auto& prompt : prompts) {
    const int64_t longest = std::ssize(prompt) > context - tokens ? context + 1 : std::ssize(prompt) + tokens;
    lengths.positions = std::max(lengths.positions, std::min(context, longest));
    lengths.pass = std::max(lengths.pass, longest > context ? context : std::ssize(prompt));
  }
  return lengths;
}

void say_which_prompts_are_cut(const std::vector<Prompt>& prompts, const std::vector<std::vector<int32_t>>& tokens,
                               int64_t context) {
  for (size_t i = 0; i < prompts.size(); ++i)
    if (std::ssize(tokens[i]) > context)
      std::fprintf(stderr, "note: %s: the model sees the last %s of %s\n", printable(prompts[i].place).c_str(),
                   grouped_digits(context).c_str(), plural(std::ssize(tokens[i]), "token").c_str());
}

nlohmann::ordered_json json_of(const Prompt& prompt, const Continuation& made, uint64_t seed) {
  return {{"prompt", replace_malformed(prompt.text)},
          {"text", made.text},
          {"finish_reason", finish_name(made.finish)},
          {"tokens", made.tokens},
          {"prompt_tokens", made.prompt_tokens},
          {"truncated", made.truncated},
          {"seed", seed}};
}

// Whether to show progress: only if the printed text does not already show how far the program is.
bool shows_progress(const GenerateArguments& arguments) {
  struct stat status {};
  return arguments.json || (fstat(STDOUT_FILENO, &status) == 0 && S_ISREG(status.st_mode));
}

void write_all(TextCache& cache, const Tokenizer& tokenizer, const GenerateArguments& arguments,
               const std::vector<Prompt>& prompts, const std::vector<std::vector<int32_t>>& tokens) {
  const JobClock clock;
  ProgressLine progress;
  const bool live = shows_progress(arguments);
  const int64_t each = arguments.options.tokens;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const uint64_t seed = arguments.seed + i;
    int64_t made_parts = 0;
    if (!arguments.json) print_at_once(replace_malformed(prompts[i].text));
    const Continuation made =
        continue_prompt(cache, tokenizer, tokens[i], arguments.options, seed, [&](const std::string& part) {
          if (!arguments.json) print_at_once(part);
          const int64_t done = static_cast<int64_t>(i) * each + ++made_parts;
          if (live) progress.show("generate  " + clock.state(done, std::ssize(prompts) * each));
        });
    progress.clear();
    print_at_once(arguments.json ? json_of(prompts[i], made, seed).dump() + "\n" : "\n");
  }
}

void run(const GenerateArguments& arguments) {
  if (arguments.interactive) end_at_interrupt();
  const HeldCheckpoint held = hold_model(arguments.run, stderr);
  const std::filesystem::path& checkpoint = held.path;
  const Config config = checkpoint_config(checkpoint, arguments.backend);
  const Tokenizer tokenizer = model_tokenizer(checkpoint, config, arguments.tokenizer);
  std::vector<Prompt> prompts;
  if (!arguments.interactive) prompts = prompts_of(arguments);
  std::vector<std::vector<int32_t>> tokens;
  for (const Prompt& prompt : prompts) tokens.push_back(prompt_tokens(tokenizer, prompt.text, prompt.place));

  const int64_t context = config.model.max_position_embeddings;
  say_which_prompts_are_cut(prompts, tokens, context);
  const Lengths lengths =
      arguments.interactive ? Lengths{context, context} : lengths_of(tokens, arguments.options.tokens, context);
  const auto ops = make_backend(config, choose_hopper_with_note(config, own_hopper_check()));
  Engine largest(config, Purpose::forward, 1, lengths.pass, *ops);
  largest.count_also("keys and values", TextCache::bytes(largest.gpt(), *ops, lengths.positions));
  require_room(config, largest, *ops, ops->memory());
  Engine engine(config, Purpose::forward, 1, 1, *ops);  // each text runs in a window of its own length
  engine.commit(*ops);
  load_finite_model(checkpoint, engine.gpt().params(), engine.gpt().state(), *ops, arguments.weights.weights());
  TextCache cache(engine.gpt(), *ops, lengths.positions);
  if (arguments.interactive)
    converse(cache, tokenizer, arguments.options, arguments.seed);
  else
    write_all(cache, tokenizer, arguments, prompts, tokens);
  print_notes(*ops);
}

}  // namespace

void add_generate_command(CLI::App& app) {
  auto arguments = std::make_shared<GenerateArguments>();
  CLI::App* command = app.add_subcommand("generate", "Continue prompts with a trained model (docs/generate.md)");
  command->add_option("run", arguments->run, "Run directory (its last checkpoint) or checkpoint")
      ->required()
      ->check(path_given());
  CLI::Option* prompt = command->add_option(
      "--prompt", arguments->prompt, "Text to continue; - reads it from standard input, which is also the default");
  CLI::Option* prompts =
      command
          ->add_option(
              "--prompts", arguments->prompts,
              "Continue every prompt in a file: the \"prompt\" of each line of a .jsonl, or each line of other files")
          ->check(path_given());
  CLI::Option* json = command->add_flag("--json", arguments->json, "Print a JSON object for each prompt");
  command->add_flag("--interactive", arguments->interactive, "Read lines and continue each; Ctrl-D ends")
      ->excludes(prompt)
      ->excludes(prompts)
      ->excludes(json);
  prompts->excludes(prompt);
  command->add_option("--tokens", arguments->options.tokens, "Maximum number of tokens to generate")
      ->capture_default_str()
      ->check(whole_number(1));
  command->add_option("--stop", arguments->options.stops, "End a text before this string (repeatable)")
      ->allow_extra_args(false)
      ->check([](const std::string& stop) { return stop.empty() ? "must not be empty" : ""; });
  SamplingOptions& sampling = arguments->options.sampling;
  command
      ->add_option("--temperature", sampling.temperature, "Sampling temperature; 0 always takes the most likely token")
      ->capture_default_str()
      ->check(number(0, 100));
  command->add_option("--top-k", sampling.top_k, "Sample from the k most likely tokens (0: all)")
      ->capture_default_str()
      ->check(whole_number(0));
  command
      ->add_option("--top-p", sampling.top_p,
                   "Sample from the smallest set of most likely tokens whose probabilities sum to this")
      ->capture_default_str()
      ->check(number(0, 1));
  command->add_option("--seed", arguments->seed, "Seed of the random choices; the n-th prompt uses seed + n - 1")
      ->capture_default_str()
      ->check(whole_number(0));
  arguments->tokenizer.add_to(*command);
  arguments->backend.add_to(*command);
  arguments->weights.add_to(*command);
  command->callback([arguments] { run(*arguments); });
}

}  // namespace gptmoe
