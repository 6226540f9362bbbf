#include "cli/eval_tasks.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/file.h"
#include "base/progress.h"
#include "cli/number_check.h"
#include "engine/backend.h"
#include "engine/memory_check.h"
#include "inference/task_score.h"

namespace gptmoe {
namespace {

struct PreparedTask {
  Task task;
  std::vector<Request> requests;
};

std::vector<PreparedTask> prepare(const TaskArguments& arguments, const Tokenizer& tokenizer) {
  const size_t limit = arguments.limit > 0 ? static_cast<size_t>(arguments.limit) : SIZE_MAX;
  std::vector<PreparedTask> prepared;
  for (const TaskFile& file : find_task_files(arguments.paths)) {
    Task task = read_task(file);
    std::vector<Request> requests = make_requests(task, limit, arguments.prompt, tokenizer);
    prepared.push_back({std::move(task), std::move(requests)});
  }
  return prepared;
}

TaskScore score(const PreparedTask& prepared, const Gpt& gpt, Ops& ops, int64_t batch_tokens, ProgressLine& progress) {
  const JobClock clock;
  const ScoringOptions options{batch_tokens, prepared.task.kind == TaskKind::completion};
  const auto likelihoods = score_requests(gpt, ops, prepared.requests, options, [&](int64_t done, int64_t total) {
    progress.show(prepared.task.name + "  " + clock.state(done, total));
  });
  progress.clear();
  return score_task(prepared.task, prepared.requests, likelihoods);
}

void print_truncations(const std::vector<TaskScore>& scores, int64_t context) {
  for (const TaskScore& score : scores)
    if (score.truncated > 0)
      std::printf("note: %s: the model's window of %s cut %s from the left\n", score.name.c_str(),
                  plural(context, "token").c_str(), plural(score.truncated, "example").c_str());
}

nlohmann::ordered_json scores_json(const std::filesystem::path& checkpoint, const TaskArguments& arguments,
                                   const std::vector<TaskScore>& scores) {
  nlohmann::ordered_json json = {{"checkpoint", checkpoint.string()}, {"delimiter", arguments.prompt.delimiter},
                                 {"shots", arguments.prompt.shots},   {"seed", arguments.prompt.seed},
                                 {"limit", arguments.limit},          {"tasks", nlohmann::ordered_json::array()}};
  for (const TaskScore& score : scores) json["tasks"].push_back(to_json(score));
  return json;
}

// Checked before the evaluation, which takes long.
void open_output(std::optional<AtomicFile>& file, const std::string& path) {
  if (path.empty()) return;
  if (std::filesystem::is_directory(path)) user_error("--out: ", path, " is a folder; name a file");
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (!folder.empty() && !std::filesystem::is_directory(folder))
    user_error("--out: ", folder.string(), " is not a folder; create it, or name another file");
  file.emplace(path);
}

// Scores one checkpoint's model and prints its table.
nlohmann::ordered_json score_checkpoint(const std::filesystem::path& checkpoint, const BackendOptions& backend,
                                        const TaskArguments& arguments) {
  const Config config = checkpoint_config(checkpoint, backend);
  const std::vector<PreparedTask> tasks = prepare(arguments, model_tokenizer(config, arguments.tokenizer));
  const int64_t context = config.model.max_position_embeddings;
  const int64_t batch_tokens = config.train.micro_batch_size * config.train.sequence_length;

  const auto ops = make_backend(config);
  const Engine largest(config, Purpose::forward, std::max<int64_t>(1, batch_tokens / context), context, *ops);
  require_room(config, largest, *ops, ops->memory());
  Engine engine(config, Purpose::forward, 1, 1, *ops);  // sequences run in windows of their own lengths
  engine.commit(*ops);
  load_model(checkpoint, engine.gpt().params(), engine.gpt().state(), ops->memory());

  size_t name_columns = 0;
  for (const PreparedTask& prepared : tasks) name_columns = std::max(name_columns, prepared.task.name.size());
  std::printf("%s\n%s\n", checkpoint.c_str(), score_table_head(name_columns).c_str());
  ProgressLine progress;
  std::vector<TaskScore> scores;
  for (const PreparedTask& prepared : tasks) {
    scores.push_back(score(prepared, engine.gpt(), *ops, batch_tokens, progress));
    std::printf("%s\n", score_table_row(scores.back(), name_columns).c_str());
    std::fflush(stdout);
  }
  print_truncations(scores, context);
  return scores_json(checkpoint, arguments, scores);
}

}  // namespace

void TaskArguments::add_to(CLI::App& command, const std::vector<CLI::Option*>& of_shards) {
  CLI::Option* task = command.add_option(
      "--task", paths, "Score downstream tasks instead: files of JSON lines, or folders of *.jsonl (docs/eval.md)");
  for (CLI::Option* option : of_shards) task->excludes(option);
  const auto option = [&](const char* name, auto& value, const char* help) {
    return command.add_option(name, value, help)->needs(task);
  };
  option("--shots", prompt.shots, "Solved examples put before each one, from the same file")->check(whole_number(0));
  option("--seed", prompt.seed, "Seed of the choice of shots")->capture_default_str();
  option("--delimiter", prompt.delimiter, "Text between a context and its continuation (default: a space)");
  option("--limit", limit, "Score only the first n examples of each file (0: all)")->check(whole_number(0));
  option("--tokenizer", tokenizer, kTokenizerHelp);
  option("--out", out, "Write the scores to this file too, as JSON");
}

void eval_tasks(const std::vector<std::filesystem::path>& checkpoints, const BackendOptions& backend,
                const TaskArguments& arguments) {
  std::optional<AtomicFile> output;
  open_output(output, arguments.out);
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const std::filesystem::path& checkpoint : checkpoints)
    all.push_back(score_checkpoint(checkpoint, backend, arguments));
  if (!output) return;
  output->write((all.size() == 1 ? all.front() : all).dump(2) + "\n");
  output->commit();
  std::printf("scores      %s\n", arguments.out.c_str());
}

}  // namespace gptmoe
