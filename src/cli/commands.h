#pragma once
#include <CLI/CLI.hpp>

namespace gptmoe {

// Each adds one subcommand whose callback runs it; what it returns to the shell goes to exit_code. Errors are thrown
// (base/check.h).
void add_train_command(CLI::App& app, int& exit_code);
void add_compare_command(CLI::App& app, int& exit_code);
void add_eval_command(CLI::App& app, int& exit_code);
void add_generate_command(CLI::App& app, int& exit_code);
void add_plan_command(CLI::App& app, int& exit_code);
void add_report_command(CLI::App& app, int& exit_code);

inline void add_commands(CLI::App& app, int& exit_code) {
  add_train_command(app, exit_code);
  add_compare_command(app, exit_code);
  add_eval_command(app, exit_code);
  add_generate_command(app, exit_code);
  add_plan_command(app, exit_code);
  add_report_command(app, exit_code);
}

}  // namespace gptmoe
