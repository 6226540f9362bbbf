#include <algorithm>
#include <cstdio>

#include "analysis/analysis.h"
#include "base/file.h"
#include "base/json.h"
#include "base/printable.h"
#include "base/progress.h"
#include "base/seal.h"
#include "checkpoint/finite_rows.h"
#include "cli/checked_run.h"
#include "cli/checkpoint_config.h"
#include "cli/commands.h"
#include "cli/domains.h"
#include "cli/number_check.h"
#include "cli/path_check.h"
#include "config/validate.h"
#include "engine/backend.h"
#include "engine/memory_check.h"
#include "engine/notes.h"
#include "inference/evaluate.h"
#include "records/record_json.h"
#include "records/run_folder.h"
#include "report/analysis_section.h"
#include "report/collapse.h"
#include "report/labels.h"
#include "report/reports.h"
#include "train/run_directory.h"

namespace gptmoe {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

struct AnalyzeArguments {
  std::string run, data;
  std::vector<std::string> domains;
  int64_t tokens = 65536, batches = 4, batch_size = 0;
  BackendOptions backend;
};

fs::path run_of(const fs::path& checkpoint) {
  if (const std::optional<fs::path> run = run_of_checkpoint(checkpoint)) return *run;
  user_error(checkpoint.string(),
             ": not inside a run's folder (RUN/checkpoints/step_NNNNNNNN), where the analysis is written; ",
             holds_optimizer(checkpoint) ? "move it back into its run"
                                         : "an imported model has no run: train one from it with --init-from");
}

// The loader's windows in file order, in whole batches.
Batches batches_of(const TokenLoader& loader, int64_t batch_size) {
  return {loader.windows() / batch_size, [&loader, batch_size](Engine& engine, int64_t batch) {
            fill_batch(engine, loader, batch * batch_size, loader.windows() - 1);
          }};
}

void describe_run(AnalysisLog& log, const fs::path& run, const fs::path& checkpoint, const Config& config,
                  const std::string& data) {
  log.checkpoint = fs::relative(checkpoint, run).string();
  log.step = read_checkpoint_state(checkpoint).step;
  log.router = config.router.type;
  log.data = data;
  for (int64_t layer = 0; layer < config.model.num_hidden_layers; ++layer)
    if (config.model.layer_is_moe(layer)) log.layers.push_back(layer);
}

Analysis measure(const Config& config, const fs::path& checkpoint, const TokenLoader& loader,
                 const std::vector<NamedText>& texts, const AnalyzeArguments& arguments) {
  const int64_t B = config.train.micro_batch_size, T = config.train.sequence_length;
  const int64_t routing_batches = std::max<int64_t>(1, arguments.tokens / (B * T));
  const std::vector<Domain> domains = domain_batches(texts, B, T, routing_batches);
  const auto ops = make_backend(config, choose_hopper_with_note(config, own_hopper_check()));
  Engine engine(config, Purpose::forward, B, T, *ops);
  require_room(config, engine, *ops, ops->memory());
  engine.commit(*ops);
  load_finite_model(checkpoint, engine.gpt().params(), engine.gpt().state(), *ops);

  ProgressLine line;
  const JobClock clock;
  const Analysis analysis =
      analyze(config, engine, *ops, batches_of(loader, B), domains, {routing_batches, arguments.batches},
              [&](int64_t done, int64_t total) { line.show("analyze  " + clock.state(done, total)); });
  line.clear();
  print_notes(*ops);
  return analysis;
}

void run(const AnalyzeArguments& arguments) {
  const HeldCheckpoint held = hold_model(arguments.run);
  const fs::path &checkpoint = held.path, run_dir = run_of(checkpoint);
  Config config = checkpoint_config(checkpoint, arguments.backend);
  if (config.model.moe_layers() == 0) user_error(checkpoint.string(), ": a dense model; there is no router to analyze");
  const DataSources sources = shards_to_measure(checkpoint, config, arguments.data);
  const std::string& data = sources[0].path;
  if (sources.size() > 1)
    std::printf("note        measures %s, the first validation set; --data GLOB chooses others\n",
                printable(sources[0].label()).c_str());
  const TokenLoader loader({data, config.train.sequence_length, config.model.vocab_size});
  const std::vector<NamedText> texts =
      open_domains(arguments.domains, config.train.sequence_length, config.model.vocab_size);
  const RunLog log = read_checked_run(run_dir);

  const int64_t asked = arguments.batch_size > 0 ? arguments.batch_size : config.train.micro_batch_size;
  config.train.micro_batch_size = config.train.global_batch_size = std::min(asked, loader.windows());
  validate(config, checkpoint.string());
  const Analysis analysis = measure(config, checkpoint, loader, texts, arguments);
  const int64_t batch_tokens = config.train.micro_batch_size * config.train.sequence_length;

  AnalysisLog written = analysis_log(analysis);
  describe_run(written, run_dir, checkpoint, config, data);
  written.batch_tokens = batch_tokens;
  written.routing_tokens = analysis.batches.profile_batches * batch_tokens;
  written.collapse.evals = collapse_of(log);
  const fs::path path = run_dir / kAnalysisFile;
  write_text_file(path, sealed(record_json(written).dump(1, ' ', false, Json::error_handler_t::replace)));

  std::vector<Arm> arm = {{run_dir.string(), {log}}};
  label_arms(arm, {}, false);
  const ReportPaths reports = write_reports(run_dir, compare(std::move(arm)));
  std::printf("checkpoint  %s (%s, %s, %lld per token)\n", printable(checkpoint.string()).c_str(),
              config.router.type.c_str(), plural(analysis.experts, "expert").c_str(),
              static_cast<long long>(analysis.experts_per_token));
  const std::string gradients = written.gradient_batches == 0
                                    ? ""
                                    : text(", gradients and errors on ", written.gradient_batches, " x ",
                                           grouped_digits(batch_tokens), " tokens");
  std::printf("measured    routing on %s tokens%s of %s\n", grouped_digits(written.routing_tokens).c_str(),
              gradients.c_str(), printable(data).c_str());
  if (!written.domains.empty())
    std::printf("domains     %zu, routing on %s tokens of each\n", written.domains.size(),
                grouped_digits(written.domain_tokens).c_str());
  for (const std::string& note : analysis.notes) std::printf("note        %s\n", printable(note).c_str());
  for (const std::string& problem : log.problems) std::printf("note: %s\n", printable(problem).c_str());
  std::printf("\n%s\nanalysis    %s\nreport      %s\n", analysis_table(written).c_str(),
              printable(path.string()).c_str(), printable(reports.html.string()).c_str());
}

}  // namespace

void add_analyze_command(CLI::App& app) {
  auto arguments = std::make_shared<AnalyzeArguments>();
  CLI::App* command =
      app.add_subcommand("analyze", "Measure routing, default vectors and router gradients of a checkpoint");
  command->add_option("run", arguments->run, "Run directory (its last checkpoint), or a checkpoint in a run directory")
      ->required()
      ->check(path_given());
  command
      ->add_option("--data", arguments->data, "Glob of the shards to measure on (default: the run's validation shards)")
      ->check(path_given());
  command
      ->add_option("--domain", arguments->domains,
                   "Compare the routing of this text with that of the other domains: NAME=GLOB (repeatable)")
      ->allow_extra_args(false);
  command
      ->add_option("--tokens", arguments->tokens, "Tokens to measure the routing on, for the data and for each domain")
      ->capture_default_str()
      ->check(whole_number(1));
  command->add_option("--batches", arguments->batches, "Batches to measure gradients and errors on")
      ->capture_default_str()
      ->check(whole_number(1));
  command->add_option("--batch-size", arguments->batch_size, "Sequences in a batch (default: the run's micro-batch)")
      ->check(whole_number(1));
  arguments->backend.add_to(*command);
  command->callback([arguments] { run(*arguments); });
}

}  // namespace gptmoe
