// gptmoe: pretraining of GPT-style mixture-of-experts models. Every subcommand is a file in src/cli.
#include <CLI/CLI.hpp>

#include "base/check.h"
#include "base/command_line.h"
#include "base/file.h"
#include "base/file_error.h"
#include "base/instruction_set.h"
#include "base/openmp_wait.h"
#include "base/out_of_memory.h"
#include "base/standard_streams.h"
#include "cli/commands.h"
#include "config/nearest_word.h"

namespace {

// The arguments left over, and the known option that is nearest to the first option among them, unless that is one
// itself ("-- --out").
std::string unexpected(const CLI::App& app, const CLI::App& command) {
  const std::string all = gptmoe::unexpected_arguments(app);
  std::vector<std::string> known;
  for (const CLI::Option* option : command.get_options())
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  for (const std::string& argument : app.remaining(true)) {
    if (!argument.starts_with("--")) continue;
    const std::string name = argument.substr(0, argument.find('=')), nearest = gptmoe::nearest_word(name, known);
    return nearest.empty() || nearest == name ? all : gptmoe::text(all, " (did you mean ", nearest, "?)");
  }
  return all;
}

// What is wrong with the command line, and which help to read, in one line.
std::string describe(const CLI::App& app, const CLI::ParseError& error, const std::string& first_word) {
  const auto used = app.get_subcommands();
  if (!used.empty()) {
    const bool extras = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError);
    return gptmoe::text(extras ? unexpected(app, *used.front()) : error.what(), "; see gptmoe ",
                        used.front()->get_name(), " --help");
  }
  if (first_word.empty()) return gptmoe::text(error.what(), "; see gptmoe --help");
  if (first_word.front() == '-') return gptmoe::text("unknown option ", first_word, "; see gptmoe --help");
  return gptmoe::unknown_command(app, first_word);
}

int run(int argc, char** argv, gptmoe::Job& job) {
  gptmoe::occupy_standard_streams();
  gptmoe::limit_openmp_spinning(argv);
  gptmoe::limit_openmp_threads();
  gptmoe::ignore_file_size_signal();
  gptmoe::raise_open_file_limit();
  CLI::App app{"gptmoe: pretrain GPT-style mixture-of-experts models from one JSON config"};
  app.require_subcommand(1);
  gptmoe::add_commands(app, job);
  gptmoe::require_compiled_instructions();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) return job.refuse(describe(app, error, argc > 1 ? argv[1] : ""));
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
  } catch (const std::filesystem::filesystem_error& error) {
    return job.fail(1, gptmoe::failure_of(error));
  } catch (const std::bad_alloc&) {
    return job.fail(1, gptmoe::OutOfMemory());
  } catch (const std::exception& error) {
    return job.fail(1, error);
  }
}
