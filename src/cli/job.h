#pragma once
// The ranks that a command runs on. Both the command and main, which prints errors, use a Job.
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

  // `ranks` is the value of --ranks, 0 if absent. If this process is to start several ranks, starts them, waits until
  // they have run the command, and returns true; exit_code() is then their exit code. Otherwise returns false: this
  // process must run the command, alone or as a rank. Throws UserError if a launcher has already started ranks.
  bool launched(int ranks);
  int exit_code() const { return exit_code_; }
  // Reports that `signal` interrupted a run, after the run has saved; 0 means that no signal did. The program then ends
  // with exit code 128 + signal, as shells do.
  void interrupted_by(int signal);

  // Joins the ranks at the first call. From then on only the first rank's output is shown.
  World& world();

  // For commands that run in one process: throws UserError, on every rank, if a launcher started several ranks.
  void require_one_rank(const std::string& command);

  // Prints an error and returns `exit_code`. An error that all ranks know is printed once. Any other error is
  // printed with the rank's name and ends the other ranks.
  int fail(int exit_code, const std::exception& error);
  // Like fail() with exit code 2, for a mistake in input that every rank was given.
  int refuse(const std::string& message);

 private:
  char** argv_;
  int exit_code_ = 0;
  std::unique_ptr<World> world_;
};

// --ranks, for Job::launched().
inline void add_ranks_option(CLI::App& command, int& ranks) {
  command
      .add_option("--ranks", ranks,
                  "Number of ranks to start on this machine with mpirun (default: 1, unless mpirun starts gptmoe)")
      ->check(whole_number(1, 4096));
}

}  // namespace gptmoe
