#include "cli/job.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "base/check.h"
#include "base/printable.h"
#include "config/config.h"
#include "distributed/agree.h"
#include "distributed/launch.h"
#include "distributed/launcher.h"

namespace gptmoe {
namespace {

// If an error hits all ranks at once, the lowest rank prints it first and then ends the others, which wait here.
void let_lower_ranks_speak(int rank) {
  std::this_thread::sleep_for(std::chrono::milliseconds(100 * std::min(rank, 10)));
}

}  // namespace

bool Job::launched(int ranks) {
  if (ranks == 0 || started_by_launch()) return false;
  if (const Launcher launcher = find_launcher(); launcher.several())
    agree(world(), [&] {
      user_error("--ranks ", ranks, ": ", launcher.name, " has started ", launcher.ranks,
                 " ranks already; omit --ranks");
    });
  if (ranks == 1) return false;
  exit_code_ = launch_ranks(ranks, static_cast<double>(DistributedConfig{}.heartbeat_seconds), argv_);
  return true;
}

void Job::interrupted_by(int signal) {
  exit_code_ = signal == 0 ? 0 : 128 + signal;
  if (signal != 0) tell_of_stop();
}

World& Job::world() {
  if (!world_) {
    world_ = join_world();
    if (!world_->is_root() && !std::freopen("/dev/null", "w", stdout)) throw Failure("cannot open /dev/null");
  }
  return *world_;
}

void Job::require_one_rank(const std::string& command) {
  if (!launched_with_ranks()) return;
  agree(world(),
        [&] { user_error("gptmoe ", command, " runs in one process; start it without ", find_launcher().name); });
}

int Job::fail(int exit_code, const std::exception& error) {
  const Launcher launcher = find_launcher();
  const std::string what = printable_message(message_of(error));
  std::fflush(stdout);
  if (world_ && dynamic_cast<const KnownToAllRanks*>(&error)) {
    if (world_->is_root()) std::fprintf(stderr, "gptmoe: %s\n", what.c_str());
    world_->barrier();  // no rank ends before the error is printed
    return exit_code;
  }
  if (launcher.several()) let_lower_ranks_speak(launcher.rank);
  const std::string who = world_ && world_->size() > 1 ? world_->name(world_->rank()) + ": " : "";
  std::fprintf(stderr, "gptmoe: %s%s\n", who.c_str(), what.c_str());
  if (!who.empty()) world_->abort(exit_code);
  return exit_code;
}

int Job::refuse(const std::string& message) {
  try {
    if (launched_with_ranks()) agree(world(), [&] { throw UserError(message); });
    throw UserError(message);
  } catch (const UserError& error) {
    return fail(2, error);
  }
}

}  // namespace gptmoe
