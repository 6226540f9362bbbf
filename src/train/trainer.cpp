#include "train/trainer.h"

#include <omp.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <deque>
#include <optional>

#include "base/file.h"
#include "base/folder.h"
#include "base/joined.h"
#include "base/json.h"
#include "base/printable.h"
#include "base/progress.h"
#include "base/stop_signal.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/finite_rows.h"
#include "data/open_sources.h"
#include "distributed/agree.h"
#include "distributed/launch.h"
#include "distributed/threads.h"
#include "engine/backend.h"
#include "engine/config_for_rank.h"
#include "engine/explain_step.h"
#include "engine/hopper_choice.h"
#include "engine/matrix_rate.h"
#include "engine/memory_check.h"
#include "engine/step_queue.h"
#include "kernels/kept_choices.h"
#include "records/run_folder.h"
#include "train/divergence.h"
#include "train/first_screen.h"
#include "train/metrics.h"
#include "train/micro_batch.h"
#include "train/provenance.h"
#include "train/run_directory.h"
#include "train/run_evaluation.h"
#include "train/run_history.h"
#include "train/run_inputs.h"
#include "train/run_opening.h"
#include "train/saved_step.h"
#include "train/start_weights.h"
#include "train/step_log.h"
#include "train/task_scorer.h"
#include "train/unstarted_run.h"

namespace gptmoe {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

class Trainer {
 public:
  // Sets up what one rank can do alone; connect() does the rest, on every rank.
  Trainer(const Config& config, const TrainOptions& options, World& world, const RankThreads& threads,
          HopperChoice hopper, std::string micro_batch_note);
  void connect();
  ~Trainer() { world_.set_probe({}); }
  // `unstarted` is null unless this is rank 0 of a new run. On rank 0, `lock` holds the lock of options.out, or gets it
  // here.
  int run(UnstartedRun* unstarted, std::unique_ptr<FolderLock>& lock);

 private:
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
  bool checkpoint_clock_due() const {
    return config_.checkpoint.minutes > 0 && seconds_since(last_saved_) >= 60 * config_.checkpoint.minutes;
  }
  bool finished() const { return progress_.step == config_.train.steps; }
  int64_t asked_step() const { return progress_.step + static_cast<int64_t>(asked_.size()); }
  CheckpointTensors tensors() {
    return {engine_.gpt().params(),
            engine_.gpt().state(),
            engine_.optimizer().m(),
            engine_.optimizer().v(),
            ops_->memory(),
            engine_.optimizer().partition(),
            &world_,
            engine_.optimizer().second_moments(),
            engine_.weight_average().values()};
  }

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

Trainer::Trainer(const Config& config, const TrainOptions& options, World& world, const RankThreads& threads,
                 HopperChoice hopper, std::string micro_batch_note)
    : given_(config),
      options_(options),
      world_(world),
      threads_(threads),
      hopper_(std::move(hopper)),
      micro_batch_note_(std::move(micro_batch_note)),
      config_(config_for_rank(config, world.size())),
      ops_(make_backend(config_, hopper_.used)),
      train_data_(open_training_data(config_, world.rank(), world.size())),
      val_data_(open_texts(config_.data.val, config_.train.sequence_length, config_.model.vocab_size)),
      tasks_(config_, options.continues() ? options.out : std::filesystem::path()),
      engine_(config_, Purpose::train, config_.train.micro_batch_size, config_.train.sequence_length, *ops_,
              {world.rank(), world.size()}) {
  if (!config_.train.init_from.empty() && !(options.continues() && latest_checkpoint(options.out)))
    start_weights_.emplace(config_, engine_, world);
  require_room(config_, engine_, *ops_, ops_->memory(), world.local_size());
}

void Trainer::connect() {
  if (world_.size() > 1) require_same_run();
  communicator_ = make_communicator(world_, *ops_);
  world_.set_probe([this] { communicator_->check(); });
}

void Trainer::require_same_run() {
  NamedValues facts = {{"the build", program_checksum()}};
  const nlohmann::ordered_json fields = to_json(given_).flatten();
  for (const auto& [path, value] : fields.items()) facts.emplace_back(dotted(path), value.dump());
  const auto tick = [this] { world_.tick(); };
  facts.emplace_back("data.train", fingerprint_of(train_data_.sources(), tick));
  facts.emplace_back("data.val", fingerprint_of(val_data_, tick));
  facts.emplace_back("train.tasks.files", tasks_.fingerprint());
  if (start_weights_) facts.emplace_back("the weights of train.init_from", start_weights_->record().checksum);
  facts.emplace_back("precision", dtype_name(ops_->compute_dtype()));
  check_alike(world_, facts);
}

void Trainer::open_run(UnstartedRun* unstarted, std::unique_ptr<FolderLock>& lock) {
  agree(world_, [&] { engine_.commit(*ops_); });  // first, so that a run that does not fit in memory leaves no files
  std::string checkpoint;
  on_root(world_, [&] {
    OpenedRun opened = open_run_folder(given_, options_, train_data_, val_data_, unstarted);
    history_ = std::move(opened.history);
    new_data_ = opened.new_data;
    checkpoint = opened.checkpoint.value_or("").string();
  });
  checkpoint = world_.from_root(checkpoint);
  new_data_ = world_.any(new_data_);
  agree(world_, [&] {
    train_data_.identify([this] { world_.tick(); });
    steps_.emplace(config_, engine_, *ops_, *communicator_);
    if (!checkpoint.empty())
      restore(checkpoint);
    else
      initialize();  // nothing saved yet: from the start
    if (steps_->spikes()) progress_.skipped_steps = steps_->spikes()->record().skipped;
    if (world_.is_root()) {
      history_.from_step = progress_.step;
      record_history(options_.out, history_);  // before config.json, which it explains
      if (options_.continues()) write_run_config(options_.out, given_);
      metrics_.emplace(options_.out, progress_.step, given_.log.tensorboard, last_row_);
    }
    if (world_.is_root() && !finished())
      record_provenance(options_.out, progress_.step, provenance_of(world_, *ops_, threads_.threads, hopper_.used));
    divergence_.emplace(world_, progress_, metrics_ ? &*metrics_ : nullptr);
    log_.emplace(config_, engine_, *communicator_, matrix_rate_, metrics_ ? &*metrics_ : nullptr,
                 ops_->memory().on_host());
    evaluation_.emplace(RunEvaluation::Run{config_.train, engine_, *ops_, *communicator_, world_, steps_->train_step(),
                                           *log_, metrics_ ? &*metrics_ : nullptr},
                        val_data_, tasks_);
  });
  if (unstarted) lock = unstarted->begin();
  keep_choices(*ops_, options_.out / kChoicesFile);
}

void Trainer::restore(const std::filesystem::path& checkpoint) {
  if (!anything_at(checkpoint))
    user_error(checkpoint.string(),
               ": rank 0 resumes from this checkpoint, but this rank cannot find it; the run's "
               "folder must be on a file system that all machines share");
  const CheckpointState state = load_checkpoint(checkpoint, tensors());
  require_finite_rows(*ops_, tensors(), checkpoint);
  progress_ = {state.step, state.tokens, state.seconds};
  last_row_ = state.last_row;
  if (!new_data_) restore_data(state);
  if (SpikeWindow* spikes = steps_->spikes(); spikes && state.spikes) spikes->restore(*state.spikes);
  history_.changes = config_changes(parse_config(state.config, checkpoint.string()), given_);
  saved_.resume(progress_.step);
}

// Continues each source where the checkpoint left it, and reports which sources are new.
void Trainer::restore_data(const CheckpointState& state) {
  const std::vector<std::string> fresh = train_data_.restore(state.loader);
  if (fresh.empty() || !world_.is_root()) return;
  const bool all = fresh.size() == train_data_.sources().size();
  std::printf("note: data.train: %s not read before step %lld and begin%s at the first sequence%s\n",
              printable(joined(fresh) + (fresh.size() == 1 ? " was" : " were")).c_str(),
              static_cast<long long>(state.step), fresh.size() == 1 ? "s" : "",
              all ? "" : "; the other sources continue");
}

void Trainer::initialize() {
  engine_.gpt().initialize(ops_->memory(), static_cast<uint64_t>(config_.seed));
  if (start_weights_) start_weights_->load(engine_, ops_->memory());
  engine_.weight_average().start(*ops_, engine_.gpt().params());
  if (!start_weights_) return;
  if (const std::string row = first_nonfinite_row(*ops_, tensors()); !row.empty())
    user_error(start_weights_->record().checkpoint, ": tensor \"", row,
               "\" has elements that are infinite or not a number; start from other weights");
  history_.initialized_from = start_weights_->record();
}

int Trainer::run(UnstartedRun* unstarted, std::unique_ptr<FolderLock>& lock) {
  // Measures while there is free memory for the matrices.
  matrix_rate_ = options_.matrix_rate > 0 ? options_.matrix_rate : measure_matrix_rate(*ops_);
  world_.sum({&matrix_rate_, 1});
  open_run(unstarted, lock);
  FirstScreen{.config = config_,
              .out = options_.out,
              .resumed_step = progress_.step,
              .start_weights = start_weights_ ? start_weights_->lines() : std::vector<std::string>{},
              .engine = engine_,
              .train_data = train_data_,
              .val_data = val_data_,
              .world = world_,
              .ops = *ops_,
              .matrix_rate = matrix_rate_,
              .threads_note = threads_.note,
              .micro_batch_note = micro_batch_note_,
              .kernels = hopper_.line()}
      .print();
  try {
    const int signal = train_to_end();
    world_.barrier();  // rank 0 has written its last files
    return signal;
  } catch (const DeviceError& error) {
    const std::string saved = saved_.step() < 0
                                  ? "no checkpoint has been saved yet"
                                  : text("step ", saved_.step(), " is saved: continue with ", options_.resume_command);
    const int64_t first = progress_.step + 1;
    const std::string step = asked_.empty()       ? text("after step ", progress_.step)
                             : asked_.size() == 1 ? text("step ", first)
                                                  : text("step ", first, " or ", asked_step());
    throw DeviceError(text(step, ": ", error.what(), "; ", saved));
  }
}

int Trainer::train_to_end() {
  const StopSignal stop;
  // Evaluates weights that the run was given at its start. If the run stopped between saving a step and evaluating it,
  // evaluates that step now.
  const auto due_at_start = [&](int64_t every) {
    return progress_.step > 0 ? due(every, progress_.step) : start_weights_.has_value();
  };
  if (!val_data_.empty() && due_at_start(config_.train.eval_every)) validate();
  if (!tasks_.empty() && due_at_start(config_.train.tasks.every)) evaluation_->score_tasks(progress_);
  // A device works on one step while the host queues the next. On the host itself there is nothing to overlap.
  const size_t ahead = ops_->memory().on_host() ? 0 : StepQueue::kAhead;
  while (!finished()) {
    ask_for_step();
    double asked[2] = {world_.is_root() && checkpoint_clock_due() ? 1.0 : 0.0, stop.requested() ? 1.0 : 0.0};
    world_.sum(asked);
    const bool stop_now = asked[1] > 0, save_now = asked[0] > 0 || due(config_.checkpoint.every, asked_step()),
               evaluate_now = !val_data_.empty() && due(config_.train.eval_every, asked_step()),
               score_now = !tasks_.empty() && due(config_.train.tasks.every, asked_step());
    settle(save_now || evaluate_now || score_now || stop_now ? 0 : ahead);
    if (save_now) save();
    if (stop_now && !finished()) {
      interrupt();
      return stop.requested() ? stop.signal() : SIGTERM;
    }
    if (evaluate_now) validate();
    if (score_now) evaluation_->score_tasks(progress_);
  }
  // Without validation data, computes a loss from the last weights.
  if (!saved_.proven()) require_finite_loss("training", evaluation_->one_batch(train_data_.sources()[0].loader));
  if (metrics_) metrics_->sync();
  log_->clear_line();
  std::printf("done        %s tokens in %s%s\n", grouped_digits(progress_.tokens).c_str(),
              clock_time(progress_.seconds).c_str(),
              evaluation_->last()
                  ? text("; validation perplexity ", metric_count(evaluation_->last()->perplexity)).c_str()
                  : "");
  return 0;
}

void Trainer::ask_for_step() {
  if (asked_.empty()) last_finished_ = Clock::now();
  const int64_t step = asked_step();
  asked_.push_back(train_data_.state());
  steps_->ask(next_batch_, step);
}

// Finishes steps until at most `ahead` queued steps are left.
void Trainer::settle(size_t ahead) {
  while (asked_.size() > ahead) finish_step();
}

void Trainer::finish_step() {
  if (!ops_->memory().on_host()) world_.waits_in("a step on the GPUs");
  const StepResult result = steps_->report();
  world_.waits_in(nullptr);
  for (const std::string& note : take_notes(*ops_)) {
    if (!world_.is_root()) continue;
    log_->clear_line();
    std::printf("note: %s\n", printable(note).c_str());
  }
  if (!result.finite()) {
    train_data_.restore(asked_.front());
    divergence_->check([&] { explain_step(steps_->train_step(), next_batch_, progress_.step, world_); });
  }
  saved_.prove();
  asked_.pop_front();
  const double seconds = seconds_since(last_finished_);
  last_finished_ = Clock::now();
  ++progress_.step;
  progress_.tokens += config_.train.tokens_per_step();
  progress_.seconds += seconds;
  log_->count(seconds);
  if (result.skipped) {
    ++*progress_.skipped_steps;
    log_->skipped(progress_.step, result);
  }
  if (due(config_.log.every, progress_.step)) {
    progress_.source_shares = train_data_.shares_read(asked_.empty() ? train_data_.state() : asked_.front());
    log_->write(progress_, result);
  }
}

void Trainer::save() {
  CheckpointState state{progress_.step, progress_.tokens, progress_.seconds, train_data_.state(),
                        nlohmann::json(to_json(given_))};
  if (metrics_ && !metrics_->last_row().empty()) state.last_row = metrics_->last_row();
  if (steps_->spikes()) state.spikes = steps_->spikes()->record();
  std::optional<Failure> lost_metrics;
  try {
    if (metrics_) metrics_->sync();
  } catch (const Failure& failure) {
    if (!holds_run(options_.out)) throw;  // the folder itself is gone
    lost_metrics = failure;
  }
  log_->without_cost([&] { steps_->train_step().gather_weights(); });
  divergence_->require_finite(*ops_, tensors());
  saved_.save(tensors(), state);
  if (lost_metrics)
    throw Failure(
        text(lost_metrics->what(), "; step ", progress_.step, " is saved: continue with ", options_.resume_command));
  last_saved_ = Clock::now();
}

void Trainer::require_finite_loss(const char* which, double loss) {
  divergence_->require_finite_loss(which, loss);
  saved_.prove();
}

void Trainer::interrupt() {
  if (saved_.step() != progress_.step) save();
  log_->clear_line();
  std::printf("stopped     after step %lld, saved. To continue:\n  %s\n", static_cast<long long>(progress_.step),
              printable(options_.resume_command).c_str());
}

std::unique_ptr<Trainer> make_trainer(const Config& config, const TrainOptions& options, World& world) {
  const RankThreads threads = rank_threads(world);
  if (world.size() > 1) omp_set_num_threads(threads.threads);
  assign_devices(config, world);
  const HopperChoice hopper = agreed_hopper(config, options.hopper_check, world);
  Config chosen = config;
  std::string note;
  if (any_auto_micro_batch({&config}, world)) {
    chosen.train.micro_batch_size = agreed_micro_batch(config, world);
    note = describe_micro_batch(chosen.train.micro_batch_size);
  }
  std::unique_ptr<Trainer> trainer;
  agree(world, [&] { trainer = std::make_unique<Trainer>(chosen, options, world, threads, hopper, std::move(note)); });
  trainer->connect();
  return trainer;
}

}  // namespace

void watch(World& world, const DistributedConfig& config) {
  check_alike(world, {{"distributed.heartbeat_seconds", std::to_string(config.heartbeat_seconds)},
                      {"distributed.hang_seconds", std::to_string(config.hang_seconds)}});
  world.watch(static_cast<double>(config.heartbeat_seconds), static_cast<double>(config.hang_seconds));
  tell_heartbeat(static_cast<double>(config.heartbeat_seconds));
}

void check_run(const Config& config, World& world) { make_trainer(config, {}, world); }

int train(const Config& config, const TrainOptions& options, World& world) {
  std::unique_ptr<FolderLock> lock;  // outlives `unstarted`
  std::optional<UnstartedRun> unstarted;
  on_root(world, [&] {
    if (!options.resume) {
      unstarted.emplace(options.out);
    } else if (file_type_at(options.out) == std::filesystem::file_type::directory) {
      lock = lock_run(options.out);  // before anything is read that another process may be changing
      if (holds_run(options.out)) remove_branch_mark(options.out);
    }
  });
  Config own = config;
  if (!options.branch.empty()) {
    agree(world, [&] { own = branch_config(options.branch, config); });
    Config checked = own;  // a branch starts from a checkpoint, whatever its run started from
    checked.train.init_from.clear();
    checked.train.init_noise = 0;
    check_run(checked, world);  // first, since copying a checkpoint takes long
    on_root(world, [&] { branch_run(options.branch, *unstarted, own); });
  }
  if (options.continues())
    agree(world, [&] {
      own = resumed_config(options.out, own, options.set);
      require_shards_here(options.out, own);
    });
  return make_trainer(own, options, world)->run(unstarted ? &*unstarted : nullptr, lock);
}

}  // namespace gptmoe
