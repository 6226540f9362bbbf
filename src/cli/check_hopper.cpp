// gptmoe check-hopper: the child process that other commands start (engine/hopper_choice.h). The help does not list it.
#include "cli/commands.h"
#include "cli/number_check.h"
#include "engine/hopper_check.h"
#include "engine/hopper_choice.h"

namespace gptmoe {

void add_check_hopper_command(CLI::App& app) {
  struct Place {
    int rank = 0, ranks = 1;
  };
  const auto place = std::make_shared<Place>();
  CLI::App* command = app.add_subcommand(
      kHopperCheckCommand, "Compare Hopper's kernels with the portable ones on the GPU of a rank of this machine");
  command->group("");
  command->add_option("rank", place->rank, "The rank's number on this machine")->check(whole_number(0, 4095));
  command->add_option("ranks", place->ranks, "The ranks of this machine")->check(whole_number(1, 4096));
  command->callback([place] { check_hopper(place->rank, place->ranks); });
}

}  // namespace gptmoe
