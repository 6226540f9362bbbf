#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "cli/commands.h"
#include "report/reports.h"
#include "report/svg_files.h"
#include "report/table.h"

namespace gptmoe {
namespace {

struct ReportArguments {
  std::vector<std::string> runs;
  std::string out, svg;
};

// Reads a run, or the runs of one arm as compare stores them: seed_1, seed_2, ... in the arm's folder.
Arm read_arm(const std::string& path) {
  namespace fs = std::filesystem;
  std::vector<std::pair<size_t, fs::path>> seeds;  // by length of the name first: seed_10 comes after seed_9
  std::error_code none;
  if (!fs::exists(fs::path(path) / "config.json"))
    for (const auto& entry : fs::directory_iterator(path, none))
      if (entry.path().filename().string().starts_with("seed_") && fs::exists(entry.path() / "config.json"))
        seeds.emplace_back(entry.path().string().size(), entry.path());
  if (seeds.empty()) return {path, {read_run(path)}};
  std::sort(seeds.begin(), seeds.end());
  Arm arm{path, {}};
  for (const auto& [length, seed] : seeds) arm.runs.push_back(read_run(seed));
  return arm;
}

}  // namespace

void add_report_command(CLI::App& app) {
  auto arguments = std::make_shared<ReportArguments>();
  CLI::App* command = app.add_subcommand("report", "Write report.html and report.json of finished or running runs");
  command
      ->add_option("runs", arguments->runs,
                   "Run directories, or folders that hold seed_1, seed_2, ...; the first is the baseline")
      ->required();
  command->add_option("--out", arguments->out, "Directory of the report (default: the first run's)");
  command->add_option("--svg", arguments->svg, "Also write the report's charts to this folder, one file each");
  command->callback([arguments] {
    std::vector<Arm> arms;
    for (const std::string& run : arguments->runs) arms.push_back(read_arm(run));
    const Comparison comparison = compare(std::move(arms));
    const ReportPaths paths =
        write_reports(arguments->out.empty() ? arguments->runs.front() : arguments->out, comparison);
    if (!arguments->svg.empty()) write_svg_files(arguments->svg, comparison);
    std::printf("%s\nreport      %s\n", text_report(comparison).c_str(), paths.html.c_str());
  });
}

}  // namespace gptmoe
