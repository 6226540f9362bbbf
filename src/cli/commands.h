#pragma once
#include <CLI/CLI.hpp>

namespace gptmoe {

// Each adds one subcommand whose callback runs it. Errors are thrown (base/check.h).
void add_train_command(CLI::App& app);
void add_compare_command(CLI::App& app);
void add_eval_command(CLI::App& app);
void add_generate_command(CLI::App& app);
void add_plan_command(CLI::App& app);
void add_report_command(CLI::App& app);

inline void add_commands(CLI::App& app) {
  add_train_command(app);
  add_compare_command(app);
  add_eval_command(app);
  add_generate_command(app);
  add_plan_command(app);
  add_report_command(app);
}

}  // namespace gptmoe
