#include "train/train.h"

#include <omp.h>

#include <memory>
#include <optional>

#include "base/file.h"
#include "base/folder.h"
#include "distributed/agree.h"
#include "distributed/launch.h"
#include "distributed/threads.h"
#include "engine/backend.h"
#include "records/run_folder.h"
#include "train/micro_batch.h"
#include "train/run_directory.h"
#include "train/run_inputs.h"
#include "train/trainer.h"
#include "train/unstarted_run.h"

namespace gptmoe {
namespace {

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
