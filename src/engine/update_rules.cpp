#include "engine/update_rules.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <map>
#include <set>
#include <sstream>

#include "base/key_error.h"
#include "base/nearest_word.h"
#include "base/progress.h"
#include "model/gpt.h"

namespace gptmoe {
namespace {

bool is_hidden_matrix(const ParamRow& row) { return row.name.ends_with("_proj.weight"); }

UpdateRule default_rule(const OptimizerConfig& config, const ParamRow& row) {
  return {.muon = config.type == "muon" && is_hidden_matrix(row),
          .weight_decay = row.weight_decay ? config.weight_decay : 0.0};
}

// Why the group with this pattern applies to no row.
std::string why_unused(const std::string& pattern, const ParamTable& params) {
  std::vector<std::string> names;
  for (const ParamRow& row : params.rows()) {
    if (matches_glob(pattern, row.name))
      return text("every parameter that \"", pattern, "\" matches is in an earlier group; move this group up");
    names.push_back(row.name);
  }
  std::string nearest = nearest_word(pattern, names);
  if (nearest.empty()) nearest = nearest_word(pattern.substr(pattern.find_last_of("*.?") + 1), names);
  return text("\"", pattern, "\" matches no parameter; ",
              nearest.empty() ? text("their names are like \"", names.front(), "\"")
                              : text("the nearest name is \"", nearest, "\""),
              ", and gptmoe plan without this group lists them all");
}

UpdateRule changed(UpdateRule rule, const ParamGroup& group, const OptimizerConfig& config) {
  if (group.type) rule.muon = *group.type == "muon";
  if (group.learning_rate) rule.learning_rate_scale = *group.learning_rate / config.learning_rate;
  if (group.learning_rate_scale) rule.learning_rate_scale = *group.learning_rate_scale;
  if (group.weight_decay) rule.weight_decay = *group.weight_decay;
  return rule;
}

// "0-3,5" for {0, 1, 2, 3, 5}.
std::string ranges(const std::set<int64_t>& numbers) {
  std::string out;
  for (auto first = numbers.begin(); first != numbers.end();) {
    auto last = first;
    for (auto next = std::next(last); next != numbers.end() && *next == *last + 1; ++next) last = next;
    out += text(out.empty() ? "" : ",", *first, first == last ? "" : text("-", *last));
    first = std::next(last);
  }
  return out;
}

// Rows of one rule whose names differ only in their numbers.
struct Line {
  std::string name;  // with # for each number
  UpdateRule rule;
  std::vector<std::set<int64_t>> numbers;
  int64_t tensors = 0, elements = 0;

  std::string full_name() const {
    std::string out;
    size_t next = 0;
    for (const char c : name) {
      if (c == '#')
        out += ranges(numbers[next++]);
      else
        out += c;
    }
    return out;
  }
};

void add_row(std::vector<Line>& lines, const ParamRow& row, const UpdateRule& rule) {
  std::string name, part;
  std::vector<int64_t> numbers;
  for (std::istringstream parts(row.name); std::getline(parts, part, '.');) {
    const bool number = std::all_of(part.begin(), part.end(), [](unsigned char c) { return std::isdigit(c); });
    if (number) numbers.push_back(std::stoll(part));
    name = text(name, name.empty() ? "" : ".", number ? "#" : part);
  }
  auto line = std::find_if(lines.begin(), lines.end(),
                           [&](const Line& each) { return each.name == name && each.rule == rule; });
  if (line == lines.end()) {
    lines.push_back({name, rule, std::vector<std::set<int64_t>>(numbers.size())});
    line = std::prev(lines.end());
  }
  for (size_t i = 0; i < numbers.size(); ++i) line->numbers[i].insert(numbers[i]);
  ++line->tensors;
  line->elements += row.count;
}

}  // namespace

std::vector<UpdateRule> update_rules(const OptimizerConfig& config, const ParamTable& params, const std::string& file) {
  std::vector<UpdateRule> rules;
  std::vector<int64_t> used(config.groups.size());
  for (const ParamRow& row : params.rows()) {
    UpdateRule rule = default_rule(config, row);
    for (size_t g = 0; g < config.groups.size(); ++g) {
      if (!matches_glob(config.groups[g].match, row.name)) continue;
      ++used[g];
      rule = changed(rule, config.groups[g], config);
      if (rule.muon && row.sizes.size() != 2)
        throw KeyError(file, text("optimizer.groups[", g, "].match"),
                       text("\"", config.groups[g].match, "\" gives ", row.name,
                            " to Muon, which updates only matrices; narrow the pattern, as in \"*_proj.weight\""));
      break;
    }
    rules.push_back(rule);
  }
  for (size_t g = 0; g < used.size(); ++g)
    if (used[g] == 0)
      throw KeyError(file, text("optimizer.groups[", g, "].match"), why_unused(config.groups[g].match, params));
  return rules;
}

void check_param_groups(const Config& config, const std::string& file) {
  if (config.optimizer.groups.empty()) return;
  update_rules(config.optimizer, Gpt(config.model, config.router, DType::f32, DType::f32).params(), file);
}

std::string rule_table(const OptimizerConfig& config, const ParamTable& params) {
  if (config.type == "adamw" && config.groups.empty()) return "";
  std::vector<Line> lines;
  const std::vector<UpdateRule> rules = update_rules(config, params);
  for (size_t r = 0; r < rules.size(); ++r) add_row(lines, params.rows()[r], rules[r]);
  size_t width = 10;
  for (const Line& line : lines) width = std::max(width, line.full_name().size());
  const auto format = [&](const std::string& name, const std::string& tensors, const std::string& elements,
                          const char* type, const std::string& rate, const std::string& decay) {
    char columns[128];
    std::snprintf(columns, sizeof columns, "  %7s  %12s  %-5s  %13s  %12s", tensors.c_str(), elements.c_str(), type,
                  rate.c_str(), decay.c_str());
    return text("  ", name, std::string(width - name.size(), ' '), columns);
  };
  const auto number = [](double value) {
    char out[32];
    std::snprintf(out, sizeof out, "%.4g", value);
    return std::string(out);
  };
  std::string out = format("parameters", "tensors", "elements", "type", "learning rate", "weight decay");
  for (const Line& line : lines) {
    const double rate = config.learning_rate * line.rule.learning_rate_scale;
    out += '\n';
    out += format(line.full_name(), std::to_string(line.tensors), metric_count(static_cast<double>(line.elements)),
                  line.rule.muon ? "muon" : "adamw", number(rate), number(line.rule.weight_decay));
  }
  return out;
}

}  // namespace gptmoe
