#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "config/config.h"
#include "distributed/world.h"
#include "inference/requests.h"
#include "inference/task_score.h"
#include "model/gpt.h"

namespace gptmoe {

// Scores a run's model on the tasks of train.tasks, just as `gptmoe eval --task` scores a checkpoint. The ranks share
// the examples.
class TaskScorer {
 public:
  // Reads the tasks and encodes their examples with the tokenizer in `run_dir`, or else with data.tokenizer. `run_dir`
  // is empty if the run is new. Does nothing if there are no tasks. Throws the errors of find_task_files(), read_task()
  // and make_requests(), and UserError if there is no tokenizer, or if the tokenizer has more tokens than the model's
  // vocabulary.
  TaskScorer(const Config& config, const std::filesystem::path& run_dir);

  bool empty() const { return tasks_.empty(); }
  // Identifies the tasks by the checksums of their files.
  std::string fingerprint() const;

  // Collective. The scores of each task, the same on every rank. Changes nothing in the model. Shows progress on the
  // terminal of rank 0. Throws Failure on every rank if a log-likelihood is not finite.
  std::vector<TaskScore> score(const Gpt& gpt, Ops& ops, World& world) const;

 private:
  std::vector<Task> tasks_;
  std::vector<std::vector<Request>> requests_;  // of each task
  int64_t batch_tokens_;
};

}  // namespace gptmoe
