#include <cstdio>

#include "cli/commands.h"
#include "report/reports.h"
#include "report/table.h"

namespace gptmoe {
namespace {

struct Arguments {
  std::vector<std::string> runs;
  std::string out;
};

}  // namespace

void add_report_command(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("report", "Write report.html and report.json of finished or running runs");
  command->add_option("runs", arguments->runs, "Run directories; the first is the baseline")->required();
  command->add_option("--out", arguments->out, "Directory of the report (default: the first run's)");
  command->callback([arguments] {
    std::vector<Arm> arms;
    for (const std::string& run : arguments->runs) arms.push_back({run, {read_run(run)}});
    const Comparison comparison = compare(std::move(arms));
    const ReportPaths paths =
        write_reports(arguments->out.empty() ? arguments->runs.front() : arguments->out, comparison);
    std::printf("%s\nreport      %s\n", text_report(comparison).c_str(), paths.html.c_str());
  });
}

}  // namespace gptmoe
