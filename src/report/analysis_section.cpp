#include "report/analysis_section.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/progress.h"
#include "report/analysis_charts.h"
#include "report/markup.h"
#include "report/number_text.h"

namespace gptmoe {
namespace {

std::string caption(const std::string& words) { return element("p", escape(words), "caption"); }

std::string part(const std::string& title, const std::string& words = "") {
  return heading("h3", title, escape(words));
}

std::string maps(const Titled<Heatmap>& titled) {
  std::string out;
  for (const auto& [title, map] : titled) out += figure(title, svg_heatmap(map));
  return element("div", out, "charts");
}

// The sum of `above` divided by the sum of `below`, over the experts with both values known.
double mean_ratio(const AnalysisLog::Values& above, const AnalysisLog::Values& below) {
  double sum_above = 0, sum_below = 0;
  for (size_t e = 0; e < above.size(); ++e)
    if (std::isfinite(above[e]) && std::isfinite(below[e])) sum_above += above[e], sum_below += below[e];
  return sum_above / sum_below;
}

// The K for a table with one gradient column: the K of the run, at most E - 1.
int64_t compared_K(const AnalysisLog& log) { return std::min(log.experts_per_token, log.experts - 1); }

struct Column {
  std::string name;
  std::vector<std::string> cells;  // by layer
};

enum class Detail { means, spreads };

// "T/router" is TopK's cosine in the scope "router".
void add_similarities(const AnalysisLog& log, Detail detail, std::vector<Column>& columns) {
  for (const char* scope : {"router", "model"})
    for (const char* method : {"topk", "default"})
      if (const auto* one = log.find(method, scope, compared_K(log))) {
        Column& column = columns.emplace_back(Column{text(method == std::string("topk") ? "T/" : "D/", scope), {}});
        for (size_t l = 0; l < log.layers.size(); ++l) {
          const bool spread = detail == Detail::spreads && std::isfinite(one->cosine[l].std);
          column.cells.push_back(fixed(one->cosine[l].mean, 3) + (spread ? " ± " + fixed(one->cosine[l].std, 3) : ""));
        }
      }
}

std::vector<Column> table_columns(const AnalysisLog& log, Detail detail) {
  std::vector<Column> columns = {{"layer", {}}, {"entropy", {}}, {"busiest", {}}, {"idlest", {}}};
  const auto experts = static_cast<double>(log.experts);
  for (size_t l = 0; l < log.layers.size(); ++l) {
    const auto [least, most] = std::minmax_element(log.expert_load[l].begin(), log.expert_load[l].end());
    columns[0].cells.push_back(text(log.layers[l]));
    columns[1].cells.push_back(fixed(log.router_entropy[l], 3));
    columns[2].cells.push_back(ratio_text(experts * *most));
    columns[3].cells.push_back(ratio_text(experts * *least));
  }
  if (!log.domains.empty()) {
    Column& distance = columns.emplace_back(Column{"domains", {}});
    for (const double value : log.domain_distance) distance.cells.push_back(fixed(value, 3));
  }
  if (!log.default_source.empty()) {
    Column cosine{"vec cos", {}}, error{"error", {}};
    for (size_t l = 0; l < log.layers.size(); ++l) {
      cosine.cells.push_back(fixed(log.mean_cosine[l], 3));
      error.cells.push_back(ratio_text(mean_ratio(log.others_error[l], log.others_norm[l])));
    }
    columns.push_back(cosine), columns.push_back(error);
  }
  add_similarities(log, detail, columns);
  return columns;
}

// Lines that explain the columns.
std::vector<std::string> legend(const AnalysisLog& log) {
  std::vector<std::string> lines = {text("entropy of the router: nats, at most ",
                                         fixed(std::log(static_cast<double>(log.experts)), 3),
                                         "; busiest, idlest: expert load divided by the fair share")};
  if (!log.domains.empty())
    lines.push_back("domains: mean total variation distance of expert shares from the mean of all domains; 0: alike");
  if (!log.default_source.empty()) {
    lines.push_back(text("vec cos: mean cosine between default vectors (", log.default_source, ")"));
    lines.push_back("error: distance of default vectors from the outputs they replace, divided by the outputs' norm");
  }
  if (!log.similarities.empty()) {
    lines.push_back(text("T, D: cosine between the router gradient of TopK or Default and the dense router's, K = ",
                         compared_K(log)));
    lines.push_back("/router: only the router's backward differs; /model: the whole model uses the method");
  }
  return lines;
}

std::string html_table(const std::vector<Column>& columns) {
  std::string head, body;
  for (const Column& column : columns) head += element("th", escape(column.name));
  for (size_t row = 0; row < columns[0].cells.size(); ++row) {
    std::string cells;
    for (const Column& column : columns) cells += element("td", escape(column.cells[row]));
    body += element("tr", cells);
  }
  return table_in_box(element("tr", head), body);
}

std::string routing_part(const AnalysisLog& log) {
  const std::string out = part("Load by expert", "Assignments that an expert serves, divided by its fair share.") +
                          element("div", figure("", svg_heatmap(analysis_load_map(log))), "scroll wide");
  if (log.coactivation.empty()) return out + caption("No co-activation: each token uses one expert.");
  return out +
         part("Co-activation",
              "Share of the row expert's tokens that the column expert also serves; the neutral colour means an even "
              "spread.") +
         maps(coactivation_maps(log));
}

std::string domain_part(const AnalysisLog& log) {
  if (log.domains.empty()) return "";
  return part("Experts by domain",
              text("Share of a domain's assignments that an expert serves, divided by its fair share; measured on ",
                   grouped_digits(log.domain_tokens), " tokens of each domain. Last row: mean over domains.")) +
         maps(domain_maps(log));
}

std::string default_part(const AnalysisLog& log) {
  if (log.default_source.empty()) return "";
  std::string out;
  if (log.experts > 1) out += part("Cosine between default vectors") + maps(cosine_maps(log));
  return out +
         part("Error of default vectors",
              "Mean distance of an expert's output from its default vector, divided by the output's mean norm; a zero "
              "vector would give 1. Measured in the dense router's forward pass.") +
         maps(default_error_maps(log));
}

std::string gradient_part(const AnalysisLog& log, const std::string& id, PageCharts& page) {
  if (log.similarities.empty()) return "";
  std::string charts;
  const std::string model = "Whole model with the method", router = "Only the router's backward";
  charts += page.add(model, similarity_chart(log, "model", id + "-cos-model"));
  charts += page.add(router, similarity_chart(log, "router", id + "-cos-router"));
  charts += page.add(model, norm_ratio_chart(log, "model", id + "-norm-model"));
  charts += page.add(router, norm_ratio_chart(log, "router", id + "-norm-router"));
  return part("Router gradients against the dense router's",
              text("Means over ", log.gradient_batches, " batches of ", grouped_digits(log.batch_tokens),
                   " tokens. Line: mean over layers. Band: lowest to highest layer.")) +
         element("div", charts, "charts") + part("Cosine by layer and K") + maps(similarity_maps(log));
}

std::string collapse_part(const AnalysisLog& log, const std::string& id, PageCharts& page) {
  if (log.collapse.evals.empty()) return "";
  std::string charts;
  charts += page.add("", collapse_chart(log, id + "-dead", "dead experts", &CollapsePoint::dead_experts));
  charts +=
      page.add("", collapse_chart(log, id + "-busiest", "busiest expert, × fair share", &CollapsePoint::load_max));
  charts += page.add(
      "", collapse_chart(log, id + "-entropy", "router entropy, share of the largest", &CollapsePoint::entropy_share));
  return part("Router collapse over training", text("At every evaluation. A dead expert has less than ",
                                                    fixed(100 * kDeadShare, 0), " % of its fair share.")) +
         element("div", charts, "charts");
}

}  // namespace

std::string analysis_section(const AnalysisLog& log, const std::string& id, const std::string& title,
                             PageCharts& page) {
  std::string words =
      text("The checkpoint of step ", log.step, " (", log.router, ", ", plural(log.experts, "expert"), ", ",
           log.experts_per_token, " per token) on ", grouped_digits(log.routing_tokens), " tokens.");
  for (const std::string& note : log.notes) words += " " + note;
  std::string legend_list;
  for (const std::string& line : legend(log)) legend_list += element("li", escape(line));
  legend_list = element("ul", legend_list, "caption");
  return heading("h2", title.empty() ? "Analysis" : "Analysis of " + title, escape(words)) +
         html_table(table_columns(log, Detail::spreads)) + legend_list + routing_part(log) + domain_part(log) +
         default_part(log) + gradient_part(log, id, page) + collapse_part(log, id, page);
}

std::string analysis_table(const AnalysisLog& log) {
  const std::vector<Column> columns = table_columns(log, Detail::means);
  std::vector<std::string> lines(log.layers.size() + 1);
  for (const Column& column : columns) {
    size_t width = columns_of(column.name);
    for (const std::string& cell : column.cells) width = std::max(width, columns_of(cell));
    const auto pad = [&](std::string& line, const std::string& cell) {
      line += (line.empty() ? "" : "  ") + cell + std::string(width - columns_of(cell), ' ');
    };
    pad(lines[0], column.name);
    for (size_t row = 0; row < column.cells.size(); ++row) pad(lines[row + 1], column.cells[row]);
  }
  std::string out;
  for (std::string& line : lines) out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  for (const std::string& line : legend(log)) out += "  " + line + "\n";
  return out;
}

}  // namespace gptmoe
