#pragma once
#include <CLI/CLI.hpp>

#include "base/command_line.h"
#include "cli/job.h"

namespace gptmoe {

// Each function adds one subcommand, and the subcommand's callback runs it. Errors are thrown (base/check.h).
void add_train_command(CLI::App& app, Job& job);
void add_compare_command(CLI::App& app, Job& job);
void add_eval_command(CLI::App& app);
void add_generate_command(CLI::App& app);
void add_export_command(CLI::App& app);
void add_import_command(CLI::App& app);
void add_plan_command(CLI::App& app);
void add_report_command(CLI::App& app, Job& job);
void add_watch_command(CLI::App& app, Job& job);
void add_analyze_command(CLI::App& app);
void add_bench_command(CLI::App& app);
void add_check_hopper_command(CLI::App& app);

void add_version_option(CLI::App& app);

inline void add_commands(CLI::App& app, Job& job) {
  add_train_command(app, job);
  add_compare_command(app, job);
  add_eval_command(app);
  add_generate_command(app);
  add_export_command(app);
  add_import_command(app);
  add_plan_command(app);
  add_report_command(app, job);
  add_watch_command(app, job);
  add_analyze_command(app);
  add_bench_command(app);
  add_check_hopper_command(app);
  add_help_command(app, "gptmoe");
  add_version_option(app);
  for (const char* name : {"eval", "generate", "export", "import", "plan", "report", "watch", "analyze", "bench"})
    app.get_subcommand(name)->preparse_callback([&job, name](size_t) { job.require_one_rank(name); });
}

}  // namespace gptmoe
