#pragma once
// The ranks that a command runs on, for the command and for main, which speaks when something is wrong.
#include <CLI/CLI.hpp>
#include <exception>
#include <memory>
#include <string>

#include "cli/number_check.h"
#include "distributed/world.h"

namespace gptmoe {

class Job {
 public:
  explicit Job(char** argv) : argv_(argv) {}

  // `ranks` as --ranks gives them, 0 without. True: the command has been carried out by that many processes, and
  // exit_code() is theirs. False: this process carries it out, alone or as a rank. Throws UserError where a launcher
  // has started ranks already.
  bool launched(int ranks);
  int exit_code() const { return exit_code_; }

  // Joined at the first call; what other ranks than the first print is heard no more.
  World& world();

  // Of commands that run in one process. Throws UserError on every rank.
  void require_one_rank(const std::string& command);

  // Prints what is wrong, once for all ranks that know it, else with the rank's name, and then ends the others too.
  // Returns `exit_code`.
  int fail(int exit_code, const std::exception& error);
  // The same for bad input that every rank was given alike.
  int refuse(const std::string& message);

 private:
  char** argv_;
  int exit_code_ = 0;
  std::unique_ptr<World> world_;
};

// --ranks, for Job::launched().
inline void add_ranks_option(CLI::App& command, int& ranks) {
  command.add_option("--ranks", ranks, "Processes on this machine, started by mpirun (default: one, or mpirun's)")
      ->check(whole_number(1, 4096));
}

}  // namespace gptmoe
