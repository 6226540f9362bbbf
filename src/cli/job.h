#pragma once
// The ranks that a command runs on. Both the command and main, which prints errors, use it.
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

  // `ranks` is the value of --ranks, 0 if absent. Returns true if that many processes have run the command; exit_code()
  // is then theirs. Returns false if this process runs it, alone or as a rank. Throws UserError if a launcher has
  // already started ranks.
  bool launched(int ranks);
  int exit_code() const { return exit_code_; }
  // A run was interrupted by `signal` (0: it was not) and has saved: the program ends with 128 + signal, as shells do.
  void interrupted_by(int signal) { exit_code_ = signal == 0 ? 0 : 128 + signal; }

  // Joins the ranks at the first call. From then on only the first rank's output is shown.
  World& world();

  // For commands that run in one process. Throws UserError on every rank.
  void require_one_rank(const std::string& command);

  // Prints an error and returns `exit_code`. An error that all ranks know is printed once. Any other is printed with
  // the rank's name, and the other ranks are ended.
  int fail(int exit_code, const std::exception& error);
  // The same for bad input that every rank was given.
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
