#include "cli/eval_tasks.h"

#include <cstdio>
#include <filesystem>

#include "base/json.h"
#include "base/output_file.h"
#include "base/printable.h"
#include "base/progress.h"
#include "checkpoint/finite_rows.h"
#include "cli/checkpoint_config.h"
#include "cli/number_check.h"
#include "cli/path_check.h"
#include "engine/backend.h"
#include "engine/memory_check.h"
#include "engine/notes.h"
#include "inference/score_table.h"

namespace gptmoe {
namespace {

using Json = nlohmann::ordered_json;
using Requests = std::vector<std::vector<Request>>;     // by task
using TaskItems = std::vector<std::vector<ItemScore>>;  // by task
using OnTask = std::function<void(size_t task, const std::vector<ItemScore>& items)>;

std::vector<Task> read_tasks(const TaskArguments& arguments) {
  std::vector<Task> tasks;
  for (const TaskFile& file : find_task_files(arguments.paths)) tasks.push_back(read_task(file));
  return tasks;
}

Requests make_all_requests(const EvalRun& run, const std::vector<Task>& tasks, const EvalOutput& output,
                           const TaskArguments& arguments) {
  const size_t limit = arguments.limit > 0 ? static_cast<size_t>(arguments.limit) : SIZE_MAX;
  const Tokenizer tokenizer = model_tokenizer(run.checkpoint, run.config, output.tokenizer);
  Requests requests;
  for (const Task& task : tasks) requests.push_back(make_requests(task, limit, arguments.prompt, tokenizer));
  return requests;
}

// Scores the tasks in order and calls `on_task` after each.
TaskItems score_tasks(const EvalRun& run, const std::vector<Task>& tasks, const Requests& requests,
                      const OnTask& on_task) {
  const Config& config = run.config;
  const int64_t context = config.model.max_position_embeddings;
  const int64_t batch_tokens = config.train.micro_batch_size * config.train.sequence_length;
  const auto ops = make_backend(config, choose_hopper_with_note(config, own_hopper_check()));
  const Engine largest(config, Purpose::forward, std::max<int64_t>(1, batch_tokens / context), context, *ops);
  require_room(config, largest, *ops, ops->memory());
  Engine engine(config, Purpose::forward, 1, 1, *ops);  // each sequence runs in a window of its own length
  engine.commit(*ops);
  load_finite_model(run.checkpoint, engine.gpt().params(), engine.gpt().state(), *ops, run.weights);

  ProgressLine progress;
  TaskItems items;
  for (size_t t = 0; t < tasks.size(); ++t) {
    const JobClock clock;
    const ScoringOptions options{batch_tokens, tasks[t].kind == TaskKind::completion};
    const auto likelihoods = score_requests(engine.gpt(), *ops, requests[t], options, [&](int64_t done, int64_t total) {
      progress.show(tasks[t].name + "  " + clock.state(done, total));
    });
    progress.clear();
    items.push_back(score_items(tasks[t], requests[t], likelihoods));
    on_task(t, items.back());
  }
  print_notes(*ops);
  return items;
}

void print_truncations(const std::vector<TaskScore>& scores, int64_t context) {
  for (const TaskScore& score : scores)
    if (score.all.truncated > 0)
      std::printf("note: %s: %s cut at the beginning to fit the model's window of %s\n",
                  printable(score.all.name).c_str(), plural(score.all.truncated, "example").c_str(),
                  plural(context, "token").c_str());
}

void write_samples(AtomicFile& file, const EvalRun& run, const Task& task, const std::vector<ItemScore>& items) {
  for (const ItemScore& item : items) {
    Json line = run_json(run);
    line.update(to_json(item, task));
    file.write(line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  }
}

// Whether two paths, which may not exist yet, lead to the same file.
bool same_file(const std::string& a, const std::string& b) {
  namespace fs = std::filesystem;
  std::error_code error;  // ignored: opening the file will report the problem
  const fs::path file = fs::weakly_canonical(fs::absolute(a), error);
  return !error && file == fs::weakly_canonical(fs::absolute(b), error);
}

}  // namespace

void TaskArguments::add_to(CLI::App& command, const std::vector<CLI::Option*>& of_texts) {
  CLI::Option* task = command.add_option(
      "--task", paths, "Score downstream tasks, not texts: files of JSON lines, or folders of *.jsonl (docs/eval.md)");
  task->check(path_given());
  for (CLI::Option* option : of_texts) task->excludes(option);
  const auto option = [&](const char* name, auto& value, const char* help) {
    return command.add_option(name, value, help)->needs(task);
  };
  option("--shots", prompt.shots, "Number of solved examples from the same file to put before each example")
      ->check(whole_number(0));
  option("--seed", prompt.seed, "Seed for choosing the shots")->capture_default_str()->check(whole_number(0));
  option("--delimiter", prompt.delimiter, "Text between a context and its continuation (default: a space)");
  option("--limit", limit, "Score only the first n examples of each file (0: all)")->check(whole_number(0));
  option("--samples", samples, "Write the scores of every example to this file, as JSON lines")->check(path_given());
}

void eval_tasks(const std::vector<EvalRun>& runs, const EvalOutput& output, const TaskArguments& arguments) {
  if (!output.json.empty() && !arguments.samples.empty() && same_file(output.json, arguments.samples))
    user_error("--samples: ", arguments.samples, " is also the file of ", kJsonOption, "; name another file");
  std::optional<AtomicFile> file, samples;
  open_output(file, kJsonOption, output.json);
  open_output(samples, "--samples", arguments.samples);
  const std::vector<Task> tasks = read_tasks(arguments);
  std::vector<Requests> requests;
  for (const EvalRun& run : runs) requests.push_back(make_all_requests(run, tasks, output, arguments));

  std::vector<std::string> names;
  for (const Task& task : tasks) {
    const std::vector<std::string> own = task_row_names(task);
    names.insert(names.end(), own.begin(), own.end());
  }
  const size_t columns = name_columns("task", names);
  std::vector<TaskItems> items;
  std::vector<Json> written;
  for (size_t r = 0; r < runs.size(); ++r) {
    std::printf("%s%s\n%s\n", r > 0 ? "\n" : "", printable(run_label(runs, r)).c_str(),
                score_table_head(columns).c_str());
    std::vector<TaskScore> scores;
    written.push_back(run_json(runs[r]));
    written.back()["tasks"] = Json::array();
    items.push_back(score_tasks(runs[r], tasks, requests[r], [&](size_t t, const std::vector<ItemScore>& own) {
      scores.push_back(score_task(tasks[t], own));
      for (const std::string& row : score_table_rows(scores.back(), columns))
        std::printf("%s\n", printable(row).c_str());
      std::fflush(stdout);
      written.back()["tasks"].push_back(to_json(scores.back()));
      if (samples) write_samples(*samples, runs[r], tasks[t], own);
    }));
    print_truncations(scores, runs[r].config.model.max_position_embeddings);
  }
  std::vector<PairedScore> paired;
  for (size_t t = 0; runs.size() == 2 && t < tasks.size(); ++t)
    for (const PairedScore& score : pair_scores(tasks[t], items[0][t], items[1][t])) paired.push_back(score);
  if (samples) samples->commit();
  const Json options = {{"delimiter", arguments.prompt.delimiter},
                        {"shots", arguments.prompt.shots},
                        {"seed", arguments.prompt.seed},
                        {"limit", arguments.limit}};
  finish_eval(file, output, options, written, paired, "task");
  if (samples) std::printf("samples     %s\n", printable(arguments.samples).c_str());
}

}  // namespace gptmoe
