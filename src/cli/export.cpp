#include "huggingface/export.h"

#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <optional>

#include "base/file.h"
#include "base/folder.h"
#include "base/joined.h"
#include "base/printable.h"
#include "base/progress.h"
#include "base/statistics.h"
#include "cli/checked_run.h"
#include "cli/checkpoint_config.h"
#include "cli/commands.h"
#include "cli/path_check.h"
#include "engine/describe.h"
#include "huggingface/folder_in_progress.h"
#include "records/metrics_file.h"
#include "records/run_folder.h"
#include "routing/router_defaults.h"
#include "routing/router_table.h"
#include "train/build_info.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMaskedDocuments =
    "trained with a mask between documents; the exported model has no such mask, so give it one document at a time, "
    "without an end-of-text token before it";

struct ExportArguments {
  std::string run, out;
  TokenizerArguments tokenizer;
  WeightsOption weights;
  std::string dtype = "f32", shard_size = "5GB", format = "auto";
};

// The number of bytes in a size such as "5GB". Units are decimal (kB, MB, GB, TB) or binary (KiB, MiB, GiB, TiB).
int64_t bytes_of_size(const std::string& size) {
  constexpr std::pair<const char*, double> kUnits[] = {{"B", 1},        {"KB", 1e3},     {"MB", 1e6},
                                                       {"GB", 1e9},     {"TB", 1e12},    {"KIB", 0x1p10},
                                                       {"MIB", 0x1p20}, {"GIB", 0x1p30}, {"TIB", 0x1p40}};
  const char* end = size.data() + size.size();
  double number = 0;
  const auto [stop, error] = std::from_chars(size.data(), end, number);
  std::string unit(stop, end);
  for (char& c : unit) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  for (const auto& [name, factor] : kUnits)
    if (error == std::errc() && unit == name && number * factor >= 1 && number * factor < 0x1p62)
      return static_cast<int64_t>(number * factor);
  user_error("--shard-size ", size, ": not a size; write a number and a unit, as in 5GB, 500MB or 2GiB");
}

// The tokenizer of the export, or why there is none.
struct ExportTokenizer {
  std::optional<Tokenizer> tokenizer;
  std::string why_none;
};

// Loads the tokenizer, or says why there is none. Throws UserError if the tokenizer exists but is not valid, or if the
// user names one that does not exist.
ExportTokenizer export_tokenizer(const fs::path& checkpoint, const Config& config,
                                 const TokenizerArguments& arguments) {
  if (!arguments.given() && config.data.tokenizer.empty())
    return {std::nullopt, "the run's config names none; pass --tokenizer FILE"};
  try {
    return {model_tokenizer(checkpoint, config, arguments), ""};
  } catch (const NoTokenizer& none) {
    return {std::nullopt, none.what()};
  }
}

// The name of each source, or its pattern without folders if it has no name: "`wiki`, `books_*.bin`".
std::string file_patterns(const DataSources& sources) {
  std::vector<std::string> names;
  for (const DataSource& source : sources)
    names.push_back("`" + (source.name.empty() ? fs::path(source.path).filename().string() : source.name) + "`");
  return joined(names, ", ");
}

// The run's last validation up to `step`, in words; empty if there is none. Prints a note if the run's rows cannot be
// read.
std::string validation_until(int64_t step, const fs::path& run_dir, const Config& config, bool average) {
  std::string validation;
  try {
    if (!anything_at(run_dir / kMetricsFile)) return validation;
    const RunLog log = read_checked_run(run_dir);
    for (const std::string& problem : log.problems) std::printf("note: %s\n", printable(problem).c_str());
    for (const EvalRow& row : log.evals)
      if (const double loss = average ? row.val_loss_ema.value_or(kUnknown) : row.val_loss;
          row.step <= step && std::isfinite(loss)) {
        char words[160];
        std::snprintf(words, sizeof words, "loss %.4f nats/token, perplexity %.2f at step %s", loss, std::exp(loss),
                      grouped_digits(row.step).c_str());
        validation = text(words, " on ", file_patterns(config.data.val));
      }
  } catch (const UserError& unreadable) {
    std::printf("note: README.md has no validation loss: %s\n", printable(unreadable.what()).c_str());
  }
  return validation;
}

// The name of the run or folder that train.init_from names; empty if it names none. Uses only the path, since the run
// may no longer be there.
std::string start_name(const fs::path& init_from) {
  fs::path path = init_from.lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  const fs::path folder = path.parent_path();
  return (folder.filename() == kCheckpointsFolder ? folder.parent_path() : path).filename().string();
}

ModelCard card_of(const fs::path& checkpoint, const Config& config, bool average) {
  const CheckpointState state = read_checkpoint_state(checkpoint);
  const Gpt gpt(config.model, config.router, DType::f32, DType::f32);
  const std::optional<fs::path> run_dir = run_of_checkpoint(checkpoint);
  ModelCard card;
  card.name = fs::canonical(run_dir.value_or(checkpoint)).filename().string();
  card.model = describe_model(config.model);
  card.parameters = describe_parameters(gpt);
  if (config.data.document_mask) card.documents = kMaskedDocuments;
  if (config.model.moe_layers() > 0) card.router = "`" + describe_router(config.router) + "`";
  card.start = start_name(config.train.init_from);
  if (state.step > 0) {  // not an import
    card.training =
        text(grouped_digits(state.step), " steps, ", grouped_digits(state.tokens), " tokens, sequences of ",
             grouped_digits(config.train.sequence_length),
             average ? text("; the exported weights are the moving average of the trained weights, with decay ",
                            config.train.weight_ema)
                     : "");
    card.data = file_patterns(config.data.train);
  }
  card.version = build_info().version;
  if (run_dir) card.validation = validation_until(state.step, *run_dir, config, average);
  return card;
}

void run(const ExportArguments& arguments) {
  const HeldCheckpoint held = hold_model(arguments.run);
  const fs::path& checkpoint = held.path;
  require_free_folder(arguments.out);
  Config config = checkpoint_config(checkpoint, {});
  config.router = with_defaults(config.router, router_setup(config.model));
  FamilyChoice choice = choose_family(config);
  if (arguments.format == "custom") choice = {&custom_family(), "--format custom"};
  const ExportTokenizer found = export_tokenizer(checkpoint, config, arguments.tokenizer);
  const ExportedFiles written = export_model({.checkpoint = checkpoint,
                                              .out = arguments.out,
                                              .config = config,
                                              .weights = arguments.weights.weights(),
                                              .family = *choice.family,
                                              .dtype = arguments.dtype == "bf16" ? DType::bf16 : DType::f32,
                                              .shard_bytes = bytes_of_size(arguments.shard_size),
                                              .tokenizer = found.tokenizer ? &*found.tokenizer : nullptr,
                                              .card = card_of(checkpoint, config, arguments.weights.average)});
  const bool custom = choice.family == &custom_family();
  std::printf("class       %s%s%s\n", choice.family->architecture,
              custom ? ", which needs trust_remote_code=True: " : " of transformers",
              printable(choice.why_custom).c_str());
  std::printf("tensors     %s, %s in %s, %s\n", grouped_digits(written.tensors).c_str(),
              binary_bytes(written.bytes).c_str(), plural(written.shards, "file").c_str(), arguments.dtype.c_str());
  if (config.data.document_mask) std::printf("documents   %s\n", kMaskedDocuments);
  const std::string why_none = found.tokenizer ? written.without_tokenizer : found.why_none;
  std::printf("tokenizer   %s\n", why_none.empty() ? "tokenizer.json" : printable("none: " + why_none).c_str());
  std::printf("exported    %s\n", printable(arguments.out).c_str());
}

}  // namespace

void add_export_command(CLI::App& app) {
  auto arguments = std::make_shared<ExportArguments>();
  CLI::App* command = app.add_subcommand("export", "Write a checkpoint as a folder for Hugging Face transformers");
  command->add_option("run", arguments->run, "Run directory (its last checkpoint) or checkpoint")
      ->required()
      ->check(path_given());
  command->add_option("--out", arguments->out, "The folder to write, new or empty")->required()->check(path_given());
  command->add_option("--dtype", arguments->dtype, "f32 (the weights as trained) or bf16 (rounded)")
      ->capture_default_str()
      ->check(CLI::IsMember({"f32", "bf16"}));
  command->add_option("--shard-size", arguments->shard_size, "Maximum bytes of weights per file")
      ->capture_default_str();
  command
      ->add_option("--format", arguments->format,
                   "auto: transformers' own class if one computes the model exactly, else ours; custom: ours")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "custom"}));
  arguments->weights.add_to(*command);
  arguments->tokenizer.add_to(*command);
  command->callback([arguments] { run(*arguments); });
}

}  // namespace gptmoe
