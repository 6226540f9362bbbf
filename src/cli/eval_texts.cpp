#include "cli/eval_texts.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include "base/json.h"
#include "base/output_file.h"
#include "base/printable.h"
#include "base/progress.h"
#include "checkpoint/finite_rows.h"
#include "cli/checkpoint_config.h"
#include "cli/domains.h"
#include "cli/number_check.h"
#include "cli/path_check.h"
#include "data/open_sources.h"
#include "engine/backend.h"
#include "engine/memory_check.h"
#include "engine/notes.h"
#include "inference/evaluate.h"
#include "inference/score_table.h"

namespace gptmoe {
namespace {

using Json = nlohmann::ordered_json;

// The texts to score: those of --domain, the one text of --data (without a name), or else the run's validation sets.
std::vector<NamedText> texts_to_score(const EvalRun& run, const TextArguments& arguments) {
  const int64_t T = run.config.train.sequence_length, V = run.config.model.vocab_size;
  if (!arguments.domains.empty()) return open_domains(arguments.domains, T, V);
  if (arguments.data.empty() && run.config.data.val.empty())
    user_error(run.checkpoint.string(), ": the run has no validation data; pass --data GLOB or --domain NAME=GLOB");
  return open_texts(shards_to_measure(run.checkpoint, run.config, arguments.data), T, V);
}

// The tokenizer of the texts; nullopt if neither the arguments nor the run name one. If the run's own tokenizer cannot
// be used, prints a note with the reason and returns nullopt.
std::optional<Tokenizer> text_tokenizer(const EvalRun& run, const TokenizerArguments& arguments) {
  if (!arguments.given() && run.config.data.tokenizer.empty()) return {};
  try {
    return model_tokenizer(run.checkpoint, run.config, arguments);
  } catch (const UserError& error) {
    if (arguments.given()) throw;
    std::printf("note: no bits per byte: %s\n", printable(error.what()).c_str());
    return {};
  }
}

// The number of bytes in the scored part of each text; unknown without a tokenizer. If the run's own tokenizer lacks
// one of a text's tokens, prints a note with the reason.
std::vector<std::optional<int64_t>> count_bytes(const EvalRun& run, const std::vector<NamedText>& texts, int64_t tokens,
                                                const TokenizerArguments& arguments) {
  std::vector<std::optional<int64_t>> bytes(texts.size());
  const std::optional<Tokenizer> tokenizer = text_tokenizer(run, arguments);
  const int64_t T = run.config.train.sequence_length;
  for (size_t i = 0; tokenizer && i < texts.size(); ++i) {
    const TokenLoader& loader = texts[i].loader;
    try {
      bytes[i] = text_bytes(loader, evaluated_windows(loader, T, tokens), T, *tokenizer);
    } catch (const UserError& error) {
      if (arguments.given()) user_error(loader.pattern(), ": ", error.what());
      std::printf("note: no bits per byte: %s\n", printable(text(loader.pattern(), ": ", error.what())).c_str());
    }
  }
  return bytes;
}

// Scores the run's model on each text. `bytes` comes from count_bytes().
std::vector<TextScore> score_texts(const EvalRun& run, const std::vector<NamedText>& texts,
                                   const std::vector<std::optional<int64_t>>& bytes, int64_t tokens) {
  const Config& config = run.config;
  const auto ops = make_backend(config, choose_hopper_with_note(config, own_hopper_check()));
  const auto world = make_single_world();
  const auto communicator = world->make_host_communicator();
  Engine engine(config, Purpose::forward, config.train.micro_batch_size, config.train.sequence_length, *ops);
  require_room(config, engine, *ops, ops->memory());
  engine.commit(*ops);
  load_finite_model(run.checkpoint, engine.gpt().params(), engine.gpt().state(), *ops, run.weights);

  ProgressLine progress;
  std::vector<TextScore> scores;
  for (const NamedText& own : texts) {
    const int64_t windows = evaluated_windows(own.loader, config.train.sequence_length, tokens);
    const JobClock clock;
    TextScore score{own.name, own.loader.pattern()};
    score.bytes = bytes[scores.size()];
    const auto on_window = [&](int64_t window, double loss) {
      score.window_losses.push_back(loss);
      progress.show(text("eval  ", own.name, own.name.empty() ? "" : "  ", clock.state(window + 1, windows)));
    };
    const EvalResult result = evaluate(engine, *ops, *communicator, *world, own.loader, tokens, on_window);
    progress.clear();
    score.tokens = result.tokens;
    score.loss = result.loss;
    if (!std::isfinite(score.loss))
      throw NumericFailure(
          text(run.checkpoint.string(), ": the loss on ", score.data, " is not finite, so its run diverged"));
    score.perplexity = result.perplexity;
    scores.push_back(std::move(score));
  }
  print_notes(*ops);
  return scores;
}

void print_scores(const std::string& run, const std::vector<TextScore>& scores) {
  if (scores[0].name.empty()) {
    std::printf("%s\n", printable(text(run, ": ", text_sentence(scores[0]))).c_str());
    return;
  }
  std::printf("%s\n", printable(run).c_str());
  for (const std::string& line : text_table(scores)) std::printf("%s\n", printable(line).c_str());
}

// Pairs the losses of two runs window by window, on every text where both runs have the same windows.
std::vector<PairedScore> pair_texts(const std::vector<EvalRun>& runs,
                                    const std::vector<std::vector<TextScore>>& scores) {
  const int64_t T_a = runs[0].config.train.sequence_length, T_b = runs[1].config.train.sequence_length;
  std::vector<PairedScore> paired;
  if (T_a != T_b) {
    std::printf("note: no paired test, since the windows of A have %s and those of B %s (train.sequence_length)\n",
                plural(T_a, "token").c_str(), plural(T_b, "token").c_str());
    return paired;
  }
  if (runs[0].config.data.document_mask != runs[1].config.data.document_mask) {
    std::printf("note: no paired test, since only %s has data.document_mask, which changes what a token can see\n",
                runs[0].config.data.document_mask ? "A" : "B");
    return paired;
  }
  for (const TextScore& a : scores[0]) {
    const auto same = std::find_if(scores[1].begin(), scores[1].end(),
                                   [&](const TextScore& b) { return a.name == b.name && a.data == b.data; });
    if (same != scores[1].end())
      paired.push_back(pair_losses(a.name.empty() ? a.data : a.name, a.window_losses, same->window_losses));
    else
      std::printf("note: no paired test on %s, on which only A is scored; pass --data GLOB\n",
                  printable(a.data).c_str());
  }
  for (const TextScore& b : scores[1])
    if (std::none_of(scores[0].begin(), scores[0].end(),
                     [&](const TextScore& a) { return a.name == b.name && a.data == b.data; }))
      std::printf("note: no paired test on %s, on which only B is scored; pass --data GLOB\n",
                  printable(b.data).c_str());
  return paired;
}

}  // namespace

std::vector<CLI::Option*> TextArguments::add_to(CLI::App& command) {
  CLI::Option* shards =
      command.add_option("--data", data, "Glob of the shards to score (default: the run's validation shards)")
          ->check(path_given());
  CLI::Option* domain =
      command.add_option("--domain", domains, "Score this text and print a row for it: NAME=GLOB (repeatable)")
          ->allow_extra_args(false)
          ->excludes(shards);
  CLI::Option* first = command.add_option("--tokens", tokens, "Score only the first n tokens of each text (0: all)")
                           ->check(whole_number(0));
  return {shards, domain, first};
}

void eval_texts(const std::vector<EvalRun>& runs, const EvalOutput& output, const TextArguments& arguments) {
  std::optional<AtomicFile> file;
  open_output(file, kJsonOption, output.json);
  std::vector<std::vector<NamedText>> texts;
  std::vector<std::vector<std::optional<int64_t>>> bytes;
  for (const EvalRun& run : runs) {
    texts.push_back(texts_to_score(run, arguments));
    bytes.push_back(count_bytes(run, texts.back(), arguments.tokens, output.tokenizer));
  }

  std::vector<std::vector<TextScore>> scores;
  std::vector<Json> written;
  for (size_t r = 0; r < runs.size(); ++r) {
    scores.push_back(score_texts(runs[r], texts[r], bytes[r], arguments.tokens));
    if (r > 0 && !arguments.domains.empty()) std::printf("\n");
    print_scores(run_label(runs, r), scores[r]);
    written.push_back(run_json(runs[r]));
    written.back()["texts"] = Json::array();
    for (const TextScore& score : scores[r]) written[r]["texts"].push_back(to_json(score));
  }
  std::vector<PairedScore> paired;
  if (runs.size() == 2) paired = pair_texts(runs, scores);
  const Json options = {{"tokens_limit", arguments.tokens}};
  finish_eval(file, output, options, written, paired, scores[0][0].name.empty() ? "data" : "domain");
}

}  // namespace gptmoe
