#include <chrono>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "base/lock.h"
#include "base/printable.h"
#include "cli/checked_run.h"
#include "cli/commands.h"
#include "cli/follow_runs.h"
#include "cli/number_check.h"
#include "cli/path_check.h"
#include "report/find_runs.h"
#include "report/labels.h"
#include "report/reports.h"
#include "report/svg_files.h"
#include "report/table.h"

namespace gptmoe {
namespace {

struct ReportArguments {
  std::vector<std::string> runs, labels;
  std::string out, svg, reference;
  int64_t watch_seconds = 0;
};

struct Report {
  std::vector<std::string> skipped;  // folders that cannot be read, and why
  Comparison comparison;
  std::optional<Sweep> sweep;  // set if a folder has runs of one config at several settings
  ReportPaths paths;

  const Sweep* swept() const { return sweep ? &*sweep : nullptr; }
};

bool is_sweep(const std::vector<Arm>& arms) {
  for (size_t i = 1; i < arms.size(); ++i)
    if (!arms[i].settings.empty() && arms[i].family == arms[i - 1].family) return true;
  return false;
}

Report write_report(const ReportArguments& arguments, int64_t refresh_seconds) {
  Report report;
  std::vector<Arm> arms;
  for (const std::string& folder : arguments.runs)
    for (Arm& arm : find_arms(folder, read_checked_run, &report.skipped)) arms.push_back(std::move(arm));
  const std::string baseline = std::filesystem::path(arms.front().family).filename().string();
  const bool sweep = arguments.runs.size() == 1 && is_sweep(arms);
  label_arms(arms, arguments.labels, sweep);
  if (sweep) {
    report.sweep = sweep_of(std::move(arms));
    report.comparison = compare_best(*report.sweep);
  } else {
    report.comparison = compare(std::move(arms));
  }
  if (!arguments.reference.empty() && report.comparison.single())
    user_error("--reference ", arguments.reference,
               ": needs a gap between two arms, but these runs form only one; add runs of a second arm");
  if (!arguments.reference.empty()) report.comparison.reference = read_reference(arguments.reference, baseline);
  report.paths = write_reports(arguments.out.empty() ? arguments.runs.front() : arguments.out, report.comparison,
                               report.swept(), refresh_seconds);
  return report;
}

int64_t runs_in_training(const ReportArguments& arguments) {
  int64_t count = 0;
  std::vector<std::string> skipped;
  for (const std::string& folder : arguments.runs)
    for (const std::filesystem::path& run : find_runs(folder, &skipped)) count += folder_locked(run);
  return count;
}

void print_report(const ReportArguments& arguments, const Report& report) {
  if (!arguments.svg.empty()) write_svg_files(arguments.svg, report.comparison, report.swept());
  for (const std::string& folder : report.skipped) std::printf("note        left out: %s\n", printable(folder).c_str());
  if (report.sweep) std::printf("%s\n", sweep_text(*report.sweep).c_str());
  std::printf("%s\nreport      %s\n", text_report(report.comparison).c_str(),
              printable(report.paths.html.string()).c_str());
}

}  // namespace

void add_report_command(CLI::App& app, Job& job) {
  auto arguments = std::make_shared<ReportArguments>();
  CLI::App* command = app.add_subcommand("report", "Write report.html and report.json of finished or running runs");
  command
      ->add_option("runs", arguments->runs,
                   "Run directories, or folders that hold runs, such as those of gptmoe compare; the first is the "
                   "baseline")
      ->required()
      ->check(path_given());
  command
      ->add_option("--label", arguments->labels,
                   "Name of an arm in the report (repeatable, in the order of the arms, or of a sweep's configs)")
      ->allow_extra_args(false);
  command->add_option("--out", arguments->out, "Directory of the report (default: the first of these folders)")
      ->check(path_given());
  command->add_option("--svg", arguments->svg, "Also write the report's charts to this folder, one file each")
      ->check(path_given());
  command
      ->add_option("--reference", arguments->reference,
                   "Also draw the gap that another experiment measured: FILE[:PAIR], as in gptmoe compare")
      ->check(path_given());
  command
      ->add_flag("--watch{30}", arguments->watch_seconds,
                 "Write the report every 30 seconds, or --watch=N seconds, while runs train; the page reloads itself")
      ->check(whole_number(1));
  command->callback([&job, arguments] {
    int signal = 0;
    if (arguments->watch_seconds > 0) {
      const StopSignal stop;
      signal = follow_runs([&] { return runs_in_training(*arguments); },
                           [&] { write_report(*arguments, arguments->watch_seconds); },
                           {.between_looks = std::chrono::seconds(arguments->watch_seconds)}, stop);
    }
    print_report(*arguments, write_report(*arguments, 0));
    job.interrupted_by(signal);
  });
}

}  // namespace gptmoe
