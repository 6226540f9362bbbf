#include "train/trainer.h"

#include <csignal>
#include <cstdio>

#include "base/file.h"
#include "base/joined.h"
#include "base/json.h"
#include "base/printable.h"
#include "base/progress.h"
#include "base/stop_signal.h"
#include "checkpoint/finite_rows.h"
#include "data/open_sources.h"
#include "distributed/agree.h"
#include "engine/backend.h"
#include "engine/config_for_rank.h"
#include "engine/explain_step.h"
#include "engine/hopper_choice.h"
#include "engine/matrix_rate.h"
#include "engine/memory_check.h"
#include "kernels/kept_choices.h"
#include "records/run_folder.h"
#include "train/first_screen.h"
#include "train/provenance.h"
#include "train/run_directory.h"
#include "train/run_history.h"
#include "train/run_inputs.h"
#include "train/run_opening.h"

namespace gptmoe {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

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

CheckpointTensors Trainer::tensors() {
  return {engine_.gpt().params(),
          engine_.gpt().state(),
          engine_.optimizer().m().values(),
          engine_.optimizer().v().values(),
          ops_->memory(),
          engine_.optimizer().partition(),
          &world_,
          engine_.optimizer().second_moments(),
          engine_.weight_average().values(),
          engine_.optimizer().m().coded(),
          engine_.optimizer().v().coded()};
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
  if (state.spikes) {
    progress_.skipped_steps = state.spikes->skipped;
    if (SpikeWindow* spikes = steps_->spikes()) spikes->restore(*state.spikes);
  }
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
  const double run_flops = (engine_.forward_flops_per_token() + engine_.backward_flops_per_token()) *
                           static_cast<double>(config_.train.tokens_per_step() * config_.train.steps);
  matrix_rate_ = options_.matrix_rate > 0 ? options_.matrix_rate : measure_matrix_rate(*ops_, run_flops);
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

bool Trainer::checkpoint_clock_due() const {
  return config_.checkpoint.minutes > 0 && seconds_since(last_saved_) >= 60 * config_.checkpoint.minutes;
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
  if (steps_->spikes())
    state.spikes = steps_->spikes()->record();
  else if (progress_.skipped_steps)
    state.spikes = {{}, {}, *progress_.skipped_steps};
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

}  // namespace gptmoe
