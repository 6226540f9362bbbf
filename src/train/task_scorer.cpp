#include "train/task_scorer.h"

#include "base/check.h"
#include "base/progress.h"
#include "distributed/agree.h"
#include "tokenizer/tokenizer_file.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kKey = "train.tasks.files";

Tokenizer tokenizer_for(const Config& config, const fs::path& run_dir) {
  const bool copied = !run_dir.empty() && !tokenizer_files(run_dir).empty();
  if (!copied && config.data.tokenizer.empty())
    user_error(kKey, ": tasks need a tokenizer; name it in data.tokenizer, or remove the tasks");
  const fs::path path = copied ? run_dir : fs::path(config.data.tokenizer);
  Tokenizer tokenizer = load_tokenizer(path);
  if (tokenizer.vocab_size() > config.model.vocab_size)
    user_error(path.string(), ": ", tokenizer.vocab_size(), " tokens, but model.vocab_size is ",
               config.model.vocab_size, "; tasks need the tokenizer that made the shards");
  return tokenizer;
}

// Divides a task's requests among the ranks. Returns the index of each rank's first request, then the number of
// requests. A rank has all requests of an example, or none.
std::vector<size_t> shares(const Task& task, size_t requests, size_t ranks) {
  std::vector<size_t> first_of_example = {0};
  for (size_t i = 0; first_of_example.back() < requests; ++i)
    first_of_example.push_back(first_of_example.back() + static_cast<size_t>(task.examples[i].candidates()));
  const size_t examples = first_of_example.size() - 1;
  std::vector<size_t> firsts;
  for (size_t rank = 0; rank <= ranks; ++rank) firsts.push_back(first_of_example[examples * rank / ranks]);
  return firsts;
}

// Gives every rank the results of all ranks; each rank has those of its own requests.
void share(World& world, std::vector<Likelihood>& results) {
  std::vector<double> values;
  for (const Likelihood& result : results)
    for (const double value : {result.log_likelihood, result.greedy ? 1.0 : 0.0, result.truncated ? 1.0 : 0.0})
      values.push_back(value);
  world.sum(values);
  for (size_t i = 0; i < results.size(); ++i)
    results[i] = {values[3 * i], values[3 * i + 1] > 0, values[3 * i + 2] > 0};
}

}  // namespace

TaskScorer::TaskScorer(const Config& config, const fs::path& run_dir)
    : batch_tokens_(config.train.micro_batch_size * config.train.sequence_length) {
  const TasksConfig& given = config.train.tasks;
  if (given.files.empty()) return;
  std::vector<std::string> paths;
  for (const DataSource& source : given.files) paths.push_back(source.path);
  const Tokenizer tokenizer = tokenizer_for(config, run_dir);
  const size_t limit = given.limit > 0 ? static_cast<size_t>(given.limit) : SIZE_MAX;
  PromptOptions prompt;
  prompt.shots = given.shots;
  prompt.shots_given_by = "train.tasks.shots";
  for (const TaskFile& file : find_task_files(paths, text(kKey, ": "))) {
    tasks_.push_back(read_task(file));
    requests_.push_back(make_requests(tasks_.back(), limit, prompt, tokenizer));
  }
}

std::string TaskScorer::fingerprint() const {
  std::string all;
  for (const Task& task : tasks_) all += task.name + " " + task.checksum + "; ";
  return all;
}

std::vector<TaskScore> TaskScorer::score(const Gpt& gpt, Ops& ops, World& world) const {
  std::vector<TaskScore> scores;
  const auto rank = static_cast<size_t>(world.rank()), ranks = static_cast<size_t>(world.size());
  ProgressLine progress;
  for (size_t t = 0; t < tasks_.size(); ++t) {
    const Task& task = tasks_[t];
    const std::vector<Request>& requests = requests_[t];
    const std::vector<size_t> firsts = shares(task, requests.size(), ranks);
    const std::span<const Request> own(requests.data() + firsts[rank], firsts[rank + 1] - firsts[rank]);
    std::vector<Likelihood> results(requests.size());
    const JobClock clock;
    agree(world, [&] {
      const auto scored = score_requests(gpt, ops, own, {batch_tokens_, task.kind == TaskKind::completion},
                                         [&](int64_t done, int64_t total) {
                                           world.tick();
                                           if (world.is_root())
                                             progress.show("task  " + task.name + "  " + clock.state(done, total));
                                         });
      std::copy(scored.begin(), scored.end(), results.begin() + static_cast<std::ptrdiff_t>(firsts[rank]));
    });
    share(world, results);
    progress.clear();
    scores.push_back(score_task(task, score_items(task, requests, results)));
  }
  return scores;
}

}  // namespace gptmoe
