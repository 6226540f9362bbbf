// gptmoe: pretraining of GPT-style mixture-of-experts models. Every subcommand is a file in src/cli.
#include <CLI/CLI.hpp>

#include "base/check.h"
#include "base/command_line.h"
#include "base/file.h"
#include "base/instruction_set.h"
#include "base/openmp_wait.h"
#include "base/process_limits.h"
#include "base/standard_streams.h"
#include "cli/commands.h"

namespace {

int run(int argc, char** argv, gptmoe::Job& job) {
  gptmoe::occupy_standard_streams();
  gptmoe::unbind_main_thread();
  gptmoe::limit_openmp_spinning(argv);
  gptmoe::limit_openmp_threads();
  gptmoe::ignore_file_size_signal();
  gptmoe::ignore_closed_pipes();
  gptmoe::raise_open_file_limit();
  gptmoe::require_compiled_instructions();
  gptmoe::require_stack();
  gptmoe::require_possible_thread_count();
  CLI::App app{"gptmoe: pretrain GPT-style mixture-of-experts models from one JSON config"};
  app.require_subcommand(1);
  gptmoe::add_commands(app, job);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) return job.refuse(gptmoe::describe(app, "gptmoe", error));
    app.exit(error);  // prints what --help or --version asks for
  }
  gptmoe::flush_standard_output();
  return job.exit_code();
}

}  // namespace

int main(int argc, char** argv) {
  gptmoe::Job job(argv);
  try {
    return run(argc, argv, job);
  } catch (const gptmoe::UserError& error) {
    return job.fail(2, error);
  } catch (const std::exception& error) {
    return job.fail(1, error);
  }
}
