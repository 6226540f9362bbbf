#include "report/html_report.h"

#include <algorithm>

#include "base/check.h"
#include "base/folder.h"
#include "report/analysis_section.h"
#include "report/config_diff.h"
#include "report/markup.h"
#include "report/number_text.h"
#include "report/page_charts.h"
#include "report/page_files.h"
#include "report/report_charts.h"
#include "report/table.h"
#include "report/task_curves.h"
#include "report/validation_sets.h"

namespace gptmoe {
namespace {

std::string title_of(const Comparison& comparison) {
  std::string out;
  for (size_t arm = 0; arm < comparison.arms.size(); ++arm) {
    const bool last = arm + 1 == comparison.arms.size();
    out += text(arm == 0 ? "" : last ? " and " : ", ", comparison.arms[arm].arm.label);
  }
  return out;
}

std::string opening(const Comparison& comparison) {
  std::string out = element("p", escape("gptmoe report · " + title_of(comparison)), "kicker");
  out += element("h1", escape(headline(comparison)));
  for (const std::string& sentence : sentences(comparison)) out += element("p", escape(sentence));
  std::string notes;
  for (const std::string& note : comparison.notes) notes += element("li", escape(note));
  return out + (notes.empty() ? "" : element("ul", notes, "notes"));
}

bool several_seeds(const Comparison& comparison) {
  return std::any_of(comparison.arms.begin(), comparison.arms.end(),
                     [](const ArmResult& result) { return result.arm.runs.size() > 1; });
}

std::string perplexity_section(const Comparison& comparison, PageCharts& page) {
  const Chart chart = perplexity_by_tokens(comparison);
  std::string caption;
  if (several_seeds(comparison)) {
    caption = "Line: mean over seeds. Band: lowest to highest seed";
    caption += comparison.single() ? ". " : "; for the gap, its 95 % interval over pairs of equal seed. ";
  }
  if (comparison.reference) caption += "Dashed: " + reference_name(*comparison.reference) + ". ";
  const auto has_average = [](const ArmResult& result) {
    return std::any_of(result.curve.begin(), result.curve.end(),
                       [](const CurvePoint& point) { return std::isfinite(point.perplexity_ema); });
  };
  if (std::any_of(comparison.arms.begin(), comparison.arms.end(), has_average))
    caption += "Dashed curve: the moving average of the weights. ";
  if (chart.y.to) caption += "The first fifth of training may be above the frame. ";
  std::string out = heading("h2", "Validation perplexity", escape(caption + "Point at a curve for its numbers."));
  out += page.add_wide(chart);
  std::string charts;
  if (!comparison.single()) charts += page.add("Relative to " + comparison.arms[0].arm.label, gap_chart(comparison));
  if (const std::optional<Chart> by_steps = gap_by_steps_chart(comparison))
    charts += page.add("At equal steps", *by_steps);
  charts += page.add("Against time", perplexity_by_time(comparison));
  return out + element("div", charts, "charts");
}

// The first row is the head.
std::string summary_table(const std::vector<SummaryRow>& rows) {
  std::string head, body;
  for (const SummaryRow& row : rows) {
    std::string cells = element("th", escape(head.empty() ? "" : row.name));
    for (const std::string& cell : row.cells) cells += element(head.empty() ? "th" : "td", escape(cell));
    (head.empty() ? head : body) += element("tr", cells);
  }
  return table_in_box(head, body);
}

std::string sets_section(const Comparison& comparison, PageCharts& page) {
  std::string charts, tables;
  int number = 0;
  for (const SetComparison& set : compare_by_set(comparison)) {
    Chart chart = perplexity_by_tokens(set.comparison);
    chart.id = text("set-", number++);
    charts += page.add(set.name, chart);
    tables += element("h3", escape(set.name)) + summary_table(perplexity_rows(set.comparison));
  }
  if (charts.empty()) return "";
  return heading("h2", "Validation sets", "Perplexity on each validation set by itself.") +
         element("div", charts, "charts") + tables;
}

std::string summary_section(const Comparison& comparison) {
  std::string caption;
  if (!comparison.single())
    caption =
        escape(text("Tokens and time to the final perplexity of ", comparison.arms[0].arm.label,
                    " are counted up to the point from which a mean curve stays below it. ")) +
        "± is the standard deviation over seeds. The gap to the baseline is the mean difference of losses between "
        "runs of equal seed, with Student’s t interval. Throughput is a median without warm-up steps.";
  return heading("h2", "Numbers", caption) + summary_table(summary_rows(comparison));
}

std::string tasks_section(const Comparison& comparison, PageCharts& page) {
  std::string charts;
  int number = 0;
  for (const TaskCurve& task : task_curves(comparison))
    charts += page.add(task.name, task_chart(comparison, task, text("task-", number++)));
  if (charts.empty()) return "";
  return heading("h2", "Downstream tasks", "Accuracy on the tasks on which the runs were scored during training.") +
         element("div", charts, "charts");
}

std::string training_section(const Comparison& comparison, PageCharts& page) {
  std::string charts;
  const auto add = [&](const char* id, const char* title, Scale scale, double (*field)(const TrainRow&)) {
    const Chart chart = train_chart(comparison, id, title, scale, field);
    if (!chart.series.empty()) charts += page.add("", chart);
  };
  add("loss", "training loss, nats per token", Scale::linear, [](const TrainRow& row) { return row.loss; });
  add("norm", "gradient norm before clipping", Scale::log, [](const TrainRow& row) { return row.grad_norm; });
  add("rate", "learning rate", Scale::linear, [](const TrainRow& row) { return row.lr; });
  add("balance", "load-balance loss (1 = balanced)", Scale::linear,
      [](const TrainRow& row) { return row.load_balance_loss.value_or(kUnknown); });
  add("busiest", "largest expert load, share of a layer", Scale::linear,
      [](const TrainRow& row) { return row.expert_load_max.value_or(kUnknown); });
  add("idlest", "smallest expert load, share of a layer", Scale::linear,
      [](const TrainRow& row) { return row.expert_load_min.value_or(kUnknown); });
  if (charts.empty()) return "";
  return heading("h2", "Training", "Each point is the mean over seeds and over 1/120 of training.") +
         element("div", charts, "charts");
}

std::string load_section(const Comparison& comparison) {
  std::string maps;
  for (size_t arm = 0; arm < comparison.arms.size(); ++arm)
    if (!comparison.arms[arm].expert_load.empty())
      maps += figure(comparison.arms[arm].arm.label, svg_heatmap(load_map(comparison, arm)));
  if (maps.empty()) return "";
  return heading("h2", "Expert load",
                 "Tokens that an expert serves at the last evaluation, as a multiple of its fair share: 1 is balanced, "
                 "0 is idle. Experts are sorted within each layer, then averaged over seeds by rank. The table "
                 "counts experts below a tenth as dead.") +
         element("div", maps, "charts");
}

std::string entropy_section(const Comparison& comparison, PageCharts& page) {
  std::string charts;
  for (size_t arm = 0; arm < comparison.arms.size(); ++arm) {
    const Chart chart = entropy_chart(comparison, arm);
    if (!chart.series.empty()) charts += page.add(comparison.arms[arm].arm.label, chart);
  }
  if (charts.empty()) return "";
  return heading("h2", "Router entropy", "How undecided the router is on validation tokens: 0 when it is certain.") +
         element("div", charts, "charts");
}

// The sections of every analysed run.
std::string analysis_sections(const Comparison& comparison, PageCharts& page) {
  std::string out;
  int number = 0;
  for (const ArmResult& result : comparison.arms)
    for (const RunLog& run : result.arm.runs) {
      const std::filesystem::path file = run.dir / kAnalysisFile;
      if (!anything_at(file)) continue;
      const bool one_run = result.arm.runs.size() == 1;
      const std::string name = result.arm.label + (one_run ? "" : ", " + run.dir.filename().string());
      out += analysis_section(read_analysis(file), text("analysis-", number++),
                              comparison.single() && one_run ? "" : name, page);
    }
  return out;
}

std::string config_table(const Comparison& comparison, const std::vector<ConfigRow>& rows, bool shared) {
  std::string head = element("th", "");
  for (const ArmResult& result : comparison.arms) head += shared ? "" : element("th", escape(result.arm.label));
  std::string body;
  for (const ConfigRow& row : rows) {
    std::string cells = element("th", escape(row.path));
    for (size_t i = 0; i < (shared ? 1 : row.values.size()); ++i) cells += element("td", escape(row.values[i]));
    body += element("tr", cells);
  }
  return table_in_box(shared ? "" : element("tr", head), body, "config");
}

std::string config_section(const Comparison& comparison) {
  const ConfigDiff diff = diff_configs(comparison);
  std::string out = heading("h2", "Configuration");
  if (!diff.different.empty()) out += config_table(comparison, diff.different, false);
  if (!comparison.single() && diff.different.empty()) out += element("p", "The arms have the same configuration.");
  return out + element("details", element("summary", comparison.single() ? "All settings" : "What the arms share") +
                                      config_table(comparison, diff.shared, true));
}

std::string sweep_section(const Sweep& sweep, PageCharts& page) {
  std::string head, body;
  for (const SweepRow& row : sweep_rows(sweep)) {
    std::string cells;
    for (const std::string& cell : row.cells)
      cells += element(head.empty() ? "th" : "td", row.best ? element("b", escape(cell)) : escape(cell));
    (head.empty() ? head : body) += element("tr", cells);
  }
  std::string charts;
  if (const std::optional<Chart> chart = sweep_chart(sweep)) charts += page.add("All", *chart);
  if (has_curves(sweep))
    for (size_t family = 0; family < sweep.families.size(); ++family)
      charts += page.add(sweep.families[family].label, sweep_curves(sweep, family));
  return heading("h2", "Sweep",
                 "The best point of each config is bold: the lowest final mean perplexity among the points whose runs "
                 "all finished. The rest of this page compares these points. Tokens are counted up to the point from "
                 "which a mean curve stays below the first config's best perplexity. For “tokens to equal it”, the "
                 "limit is the first config's final perplexity at the same setting.") +
         table_in_box(head, body, "sweep") + (charts.empty() ? "" : element("div", charts, "charts"));
}

// "gptmoe 0.1.0 (637764b27173, Release) on HOST, CPU, 2 threads": each build and machine once.
std::vector<std::string> trained_by(const Comparison& comparison) {
  std::vector<std::string> all;
  const auto fact = [](const nlohmann::ordered_json& of, const char* key) {
    return of.contains(key) && of[key].is_string() ? of[key].get<std::string>() : std::string("unknown");
  };
  for (const ArmResult& result : comparison.arms)
    for (const RunLog& run : result.arm.runs)
      for (const Provenance& p : run.provenance) {
        const char* device = p.machine.contains("gpu") && p.machine["gpu"].is_string() ? "gpu" : "cpu";
        const std::string by =
            text("gptmoe ", fact(p.build, "version"), " (", fact(p.build, "commit"), ", ", fact(p.build, "type"),
                 ") on ", fact(p.machine, "host"), ", ", fact(p.machine, device), ", ", p.threads,
                 p.threads == 1 ? " thread" : " threads", p.ranks > 1 ? text(" per rank, ", p.ranks, " ranks") : "");
        if (std::find(all.begin(), all.end(), by) == all.end()) all.push_back(by);
      }
  return all;
}

// "runs/a, from step 100: branched from runs/b/checkpoints/step_00000100; train.steps 100 → 200".
std::vector<std::string> changed_on_the_way(const Comparison& comparison) {
  std::vector<std::string> all;
  for (const ArmResult& result : comparison.arms)
    for (const RunLog& run : result.arm.runs)
      for (const HistoryEntry& entry : run.history) {
        std::string what = entry.branched_from ? "branched from " + *entry.branched_from : "";
        for (const auto& [key, change] : entry.changes)
          what += text(what.empty() ? "" : "; ", key, " ", change.was->dump(), " → ", change.is->dump());
        if (!what.empty()) all.push_back(text(run.dir.string(), ", from step ", entry.from_step, ": ", what));
      }
  return all;
}

std::string footer(const Comparison& comparison) {
  std::string runs;
  for (const ArmResult& result : comparison.arms)
    for (const RunLog& run : result.arm.runs) runs += text(runs.empty() ? "" : ", ", run.dir.string());
  std::string trained;
  for (const std::string& by : trained_by(comparison)) trained += element("p", escape("Trained by " + by));
  for (const std::string& change : changed_on_the_way(comparison)) trained += element("p", escape(change));
  if (comparison.reference)
    trained += element("p", escape(reference_name(*comparison.reference) + ": " + comparison.reference->source));
  return element("footer", trained + element("p", escape("Runs: " + runs)));
}

}  // namespace

std::string html_report(const Comparison& comparison, const Sweep* sweep, int64_t refresh_seconds) {
  const std::string head =
      "<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n" +
      (refresh_seconds > 0 ? text("<meta http-equiv=\"refresh\" content=\"", refresh_seconds, "\">\n") : "") +
      element("title", escape(title_of(comparison) + " · gptmoe report")) +
      element("style", text(kChartStyle, kPageStyle));
  PageCharts page;
  std::string sections = opening(comparison);
  if (sweep) sections += sweep_section(*sweep, page);
  sections += perplexity_section(comparison, page);
  sections += summary_section(comparison);
  sections += sets_section(comparison, page);
  sections += tasks_section(comparison, page);
  sections += training_section(comparison, page);
  sections += load_section(comparison);
  sections += entropy_section(comparison, page);
  sections += analysis_sections(comparison, page);
  sections += config_section(comparison);
  const std::string scripts = text("<script type=\"application/json\" id=\"chart-data\">", page.data(), "</script>\n",
                                   element("script", text(kChartDrawing, kPageScript)));
  return "<!doctype html>\n<html lang=\"en\">\n" + element("head", head) +
         element("body", element("main", sections) + footer(comparison) + scripts) + "</html>\n";
}

}  // namespace gptmoe
