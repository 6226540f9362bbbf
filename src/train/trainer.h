#pragma once
#include <chrono>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/folder.h"
#include "checkpoint/checkpoint.h"
#include "config/config.h"
#include "data/batches.h"
#include "distributed/communicator.h"
#include "distributed/threads.h"
#include "distributed/world.h"
#include "engine/engine.h"
#include "engine/hopper_choice.h"
#include "engine/step_queue.h"
#include "kernels/ops.h"
#include "records/run_history.h"
#include "train/divergence.h"
#include "train/metrics.h"
#include "train/run_evaluation.h"
#include "train/saved_step.h"
#include "train/start_weights.h"
#include "train/step_log.h"
#include "train/task_scorer.h"
#include "train/train.h"
#include "train/unstarted_run.h"

namespace gptmoe {

// One rank's part of a training run. Its functions throw as train() does.
class Trainer {
 public:
  // Does the part of the setup that needs no other rank. `config` is the run's, with a number in
  // train.micro_batch_size. Keeps references to `options` and `world`.
  Trainer(const Config& config, const TrainOptions& options, World& world, const RankThreads& threads,
          HopperChoice hopper, std::string micro_batch_note);
  ~Trainer() { world_.set_probe({}); }
  // Every rank calls it after the constructor: checks that all ranks have the same run, and connects their devices.
  void connect();
  // Every rank calls it after connect(). Trains to the last step or a stop signal; returns what train() returns.
  // `unstarted` is null unless this is rank 0 of a new run. On rank 0, `lock` holds the lock of options.out, or gets it
  // here.
  int run(UnstartedRun* unstarted, std::unique_ptr<FolderLock>& lock);

 private:
  using Clock = std::chrono::steady_clock;

  // Checks that all ranks have the same program, config, data and precision.
  void require_same_run();
  void open_run(UnstartedRun* unstarted, std::unique_ptr<FolderLock>& lock);
  void initialize();
  void restore(const std::filesystem::path& checkpoint);
  void restore_data(const CheckpointState& state);
  int train_to_end();
  void ask_for_step();
  void finish_step();
  void settle(size_t ahead = 0);
  void save();
  void validate() { require_finite_loss("validation", evaluation_->validate(progress_)); }
  void require_finite_loss(const char* which, double loss);
  void interrupt();

  bool due(int64_t every, int64_t step) const {
    return step == config_.train.steps || (every > 0 && step % every == 0);
  }
  // Whether checkpoint.minutes have passed since the last save.
  bool checkpoint_clock_due() const;
  bool finished() const { return progress_.step == config_.train.steps; }
  int64_t asked_step() const { return progress_.step + static_cast<int64_t>(asked_.size()); }
  CheckpointTensors tensors();

  const Config given_;
  const TrainOptions& options_;
  World& world_;
  const RankThreads threads_;
  const HopperChoice hopper_;
  const std::string micro_batch_note_;  // FirstScreen::micro_batch_note
  const Config config_;                 // this rank's
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<Communicator> communicator_;
  BatchLoader train_data_;
  const NextBatch next_batch_ = [this](const Tensor& inputs, const Tensor& targets) {
    world_.tick();
    train_data_.next_batch(inputs, targets);
  };
  const std::vector<NamedText> val_data_;
  const TaskScorer tasks_;
  Engine engine_;
  std::optional<StepQueue> steps_;
  double matrix_rate_ = 0;

  Progress progress_;                          // of finished steps
  std::deque<LoaderState> asked_;              // the loader's state before each queued, unfinished step
  Clock::time_point last_finished_;            // when a step finished or, if later, the oldest queued step was queued
  std::optional<StartWeights> start_weights_;  // of a new run that does not start from initial values
  HistoryEntry history_;                       // of the steps from here on; only rank 0 fills in its data
  bool new_data_ = false;                      // OpenedRun::new_data
  SavedStep saved_{options_.out, config_.checkpoint.keep, world_};
  Clock::time_point last_saved_ = Clock::now();  // or when the run started
  std::optional<std::string> last_row_;          // CheckpointState::last_row of a resumed run
  std::optional<MetricsFile> metrics_;           // of rank 0
  std::optional<Divergence> divergence_;
  std::optional<StepLog> log_;
  std::optional<RunEvaluation> evaluation_;
};

}  // namespace gptmoe
