#include "report/html_report.h"

#include <algorithm>

#include "base/check.h"
#include "report/analysis_section.h"
#include "report/config_diff.h"
#include "report/markup.h"
#include "report/number_text.h"
#include "report/page_style.h"
#include "report/report_charts.h"
#include "report/table.h"

namespace gptmoe {
namespace {

std::string title_of(const Comparison& comparison) {
  std::string out;
  for (const ArmResult& result : comparison.arms) out += (out.empty() ? "" : " and ") + result.arm.label;
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

std::string perplexity_section(const Comparison& comparison) {
  const Chart chart = perplexity_by_tokens(comparison);
  std::string caption;
  if (several_seeds(comparison)) {
    caption = "Line: mean over seeds. Band: lowest to highest seed";
    caption += comparison.single() ? ". " : "; for the gap, its 95 % interval over pairs of equal seed. ";
  }
  if (comparison.reference) caption += "Dashed: " + reference_name(*comparison.reference) + ". ";
  if (chart.y.to) caption += "The first fifth of training may be above the frame. ";
  std::string out = element("h2", "Validation perplexity");
  out += element("p", escape(caption + "Point at a curve for its numbers."), "caption");
  out += element("div", figure("", svg_line_chart(chart)), "scroll wide");
  std::string charts;
  if (!comparison.single())
    charts += figure("Relative to " + comparison.arms[0].arm.label, svg_line_chart(gap_chart(comparison)));
  if (const std::optional<Chart> by_steps = gap_by_steps_chart(comparison))
    charts += figure("The same at equal steps", svg_line_chart(*by_steps));
  charts += figure("Against time", svg_line_chart(perplexity_by_time(comparison)));
  return out + element("div", charts, "pair");
}

std::string summary_section(const Comparison& comparison) {
  std::string head, body;
  for (const SummaryRow& row : summary_rows(comparison)) {
    std::string cells = element("th", escape(head.empty() ? "" : row.name));
    for (const std::string& cell : row.cells) cells += element(head.empty() ? "th" : "td", escape(cell));
    (head.empty() ? head : body) += element("tr", cells);
  }
  std::string out = element("h2", "Numbers");
  if (!comparison.single())
    out += element("p",
                   escape(text("Tokens and time to the final perplexity of ", comparison.arms[0].arm.label,
                               " are counted up to the point from which a mean curve stays below it. ")) +
                       "± is the standard deviation over seeds. The gap to the baseline is the mean difference of "
                       "losses between runs of equal seed, with Student’s t interval. Throughput is a median without "
                       "warm-up steps.",
                   "caption");
  return out + element("div", element("table", element("thead", head) + element("tbody", body)), "scroll");
}

std::string training_section(const Comparison& comparison) {
  std::string charts;
  const auto add = [&](const char* id, const char* title, Scale scale, double (*field)(const TrainRow&)) {
    const Chart chart = train_chart(comparison, id, title, scale, field);
    if (!chart.series.empty()) charts += figure("", svg_line_chart(chart));
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
  return element("h2", "Training") +
         element("p", "Smoothed: each point is the mean over seeds and over 1/120 of training.", "caption") +
         element("div", charts, "pair");
}

std::string load_section(const Comparison& comparison) {
  std::string maps;
  for (size_t arm = 0; arm < comparison.arms.size(); ++arm)
    if (!comparison.arms[arm].expert_load.empty())
      maps += figure(comparison.arms[arm].arm.label, svg_heatmap(load_map(comparison, arm)));
  if (maps.empty()) return "";
  return element("h2", "Expert load") +
         element(
             "p",
             "Tokens that an expert serves at the last evaluation, as a multiple of its fair share: 1 is balanced, "
             "0 is idle. Experts are sorted within each layer, then averaged over seeds by rank. Dead experts in the "
             "table are below a tenth.",
             "caption") +
         element("div", maps, "pair");
}

std::string entropy_section(const Comparison& comparison) {
  std::string charts;
  for (size_t arm = 0; arm < comparison.arms.size(); ++arm) {
    const Chart chart = entropy_chart(comparison, arm);
    if (!chart.series.empty()) charts += figure(comparison.arms[arm].arm.label, svg_line_chart(chart));
  }
  if (charts.empty()) return "";
  return element("h2", "Router entropy") +
         element("p", "How undecided the router is on validation tokens: 0 when it is certain.", "caption") +
         element("div", charts, "pair");
}

// The sections of every analysed run.
std::string analysis_sections(const Comparison& comparison) {
  std::string out;
  int number = 0;
  for (const ArmResult& result : comparison.arms)
    for (const RunLog& run : result.arm.runs) {
      const std::filesystem::path file = run.dir / kAnalysisFile;
      if (!std::filesystem::exists(file)) continue;
      const bool alone = comparison.single() && result.arm.runs.size() == 1;
      out += analysis_section(read_analysis(file), text("analysis-", number++), alone ? "" : run.dir.string());
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
  const std::string thead = shared ? "" : element("thead", element("tr", head));
  return element("div", element("table", thead + element("tbody", body), "config"), "scroll");
}

std::string config_section(const Comparison& comparison) {
  const ConfigDiff diff = diff_configs(comparison);
  std::string out = element("h2", "Configuration");
  if (!diff.different.empty()) out += config_table(comparison, diff.different, false);
  if (!comparison.single() && diff.different.empty()) out += element("p", "The arms have the same configuration.");
  return out + element("details", element("summary", comparison.single() ? "All settings" : "What the arms share") +
                                      config_table(comparison, diff.shared, true));
}

std::string sweep_section(const Sweep& sweep) {
  std::string head, body;
  for (const SweepRow& row : sweep_rows(sweep)) {
    std::string cells;
    for (const std::string& cell : row.cells)
      cells += element(head.empty() ? "th" : "td", row.best ? element("b", escape(cell)) : escape(cell));
    (head.empty() ? head : body) += element("tr", cells);
  }
  std::string charts;
  if (const std::optional<Chart> chart = sweep_chart(sweep)) charts += figure("All", svg_line_chart(*chart));
  for (size_t family = 0; family < sweep.families.size(); ++family)
    if (sweep.families[family].points.size() > 1)
      charts += figure(sweep.families[family].label, svg_line_chart(sweep_curves(sweep, family)));
  return element("h2", "Sweep") +
         element("p",
                 "The best point of each config is bold: the lowest final mean perplexity among the points whose runs "
                 "all finished. The rest of this page compares these points. Tokens are counted up to the point from "
                 "which a mean curve stays below the first config's best perplexity, or, for “tokens to equal it”, "
                 "below the first config's final perplexity at the same setting.",
                 "caption") +
         element("div", element("table", element("thead", head) + element("tbody", body)), "scroll") +
         element("div", charts, "pair");
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
      element("title", escape(title_of(comparison) + " · gptmoe report")) + element("style", kPageStyle);
  return "<!doctype html>\n<html lang=\"en\">\n" + element("head", head) +
         element("body",
                 element("main",
                         opening(comparison) + (sweep ? sweep_section(*sweep) : "") + perplexity_section(comparison) +
                             summary_section(comparison) + training_section(comparison) + load_section(comparison) +
                             entropy_section(comparison) + analysis_sections(comparison) + config_section(comparison)) +
                     footer(comparison)) +
         "</html>\n";
}

}  // namespace gptmoe
