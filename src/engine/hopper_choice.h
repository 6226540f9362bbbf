#pragma once
// Whether a GPU's ops run Hopper's kernels (kernels.hopper in the config). "auto" trusts them only on a GPU where a
// child process has compared them with the portable kernels: a kernel that traps or hangs takes its process's GPU
// context with it.
#include <chrono>
#include <filesystem>
#include <string>

#include "base/kept_texts.h"
#include "config/config.h"
#include "distributed/world.h"

namespace gptmoe {

// How "auto" checks Hopper's kernels.
struct HopperCheck {
  // The program that runs check_hopper() (engine/hopper_check.h) when it is started with kHopperCheckCommand, the
  // rank's number on its machine and the number of ranks there. Empty: nothing is checked, and portable kernels run.
  std::filesystem::path program = {};
  // Keeps the verdicts, one for each GPU, version of its driver and program. Empty: every process checks again.
  std::filesystem::path file = user_cache_file("hopper.json");
  std::chrono::milliseconds limit = std::chrono::seconds(20);  // a check that takes longer has failed
};
inline constexpr const char* kHopperCheckCommand = "check-hopper";
// For gptmoe itself, which has that command.
inline HopperCheck own_hopper_check() { return {.program = "/proc/self/exe"}; }

struct HopperChoice {
  bool used = false;
  std::string why = {};   // for the startup summary; empty if there is no choice, as on a CPU
  bool unproven = false;  // whether Hopper's kernels are left out because they failed their check or were not checked

  // "Hopper's (they passed their check on this GPU)"; empty if there was no choice.
  std::string line() const;
};

// Decides for the current GPU. Call it before the program allocates the GPU's memory. Shows progress on a terminal. A
// check that fails or cannot be made is no error: portable kernels run, and `why` says so. Throws UserError if
// kernels.hopper is "on" and they cannot run: on a CPU, in f32, on another GPU, or in a build without their code.
HopperChoice choose_hopper(const Config& config, const HopperCheck& check, int local_rank = 0, int local_size = 1);

// The same for every rank, each of which has its GPU: all run Hopper's kernels, or none does. Collective.
HopperChoice agreed_hopper(const Config& config, const HopperCheck& check, World& world);

}  // namespace gptmoe
