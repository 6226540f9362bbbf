#include "report/reference.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "base/folder.h"
#include "base/json.h"
#include "base/read_json.h"

namespace gptmoe {
namespace {

using Json = nlohmann::ordered_json;

struct Argument {
  std::string file, pair;
};

Argument split(const std::string& argument) {
  const size_t colon = argument.rfind(':');
  if (colon == std::string::npos || anything_at(argument)) return {argument, ""};
  return {argument.substr(0, colon), argument.substr(colon + 1)};
}

std::string pair_of_config(const Json& pairs, const std::string& config) {
  std::string best;
  for (const auto& [name, pair] : pairs.items())
    if ((config == name || config.starts_with(name + "_")) && name.size() > best.size()) best = name;
  return best;
}

std::string names_of(const Json& pairs) {
  std::string names;
  for (const auto& [name, pair] : pairs.items()) names += (names.empty() ? "" : ", ") + name;
  return names;
}

std::vector<ReferencePoint> points_of(const Json& file, const Json& pair) {
  const double planned = file.at("planned_steps").get<double>();
  const Json &steps = file.at("steps"), &arm = file.at("curves").at(pair.at("arm").get<std::string>()),
             &baseline = file.at("curves").at(pair.at("baseline").get<std::string>());
  std::vector<ReferencePoint> points;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (arm.at(i).is_null() || baseline.at(i).is_null()) continue;
    const double step = steps[i].get<double>();
    points.push_back({step, step / planned, std::expm1(arm[i].get<double>() - baseline[i].get<double>())});
  }
  return points;
}

// Interpolates between the two points around `x`, which must be within the range.
double gap_at(const std::vector<GapAt>& curve, double x) {
  const auto after = std::find_if(curve.begin() + 1, curve.end() - 1, [x](const GapAt& point) { return point.x >= x; });
  const GapAt &a = *(after - 1), &b = *after;
  return a.gap + (x - a.x) / (b.x - a.x) * (b.gap - a.gap);
}

// The mean of |d| along a line from `a` to `b`.
double mean_magnitude(double a, double b) {
  const double sum = std::fabs(a) + std::fabs(b);
  return a * b >= 0 ? 0.5 * sum : 0.5 * (a * a + b * b) / sum;
}

}  // namespace

Reference read_reference(const std::string& argument, const std::string& config) {
  const Argument asked = split(argument);
  const Json file = with_remedy("--reference takes a file of curves like data/paper_curves.json",
                                [&] { return read_json<Json>(asked.file); });
  try {
    const Json& pairs = file.at("pairs");
    const std::string name = asked.pair.empty() ? pair_of_config(pairs, config) : asked.pair;
    if (!pairs.contains(name))
      user_error("--reference ", argument, ": ",
                 asked.pair.empty() ? "no pair matches the name of " + config : "it has no pair \"" + name + "\"",
                 "; choose one with ", asked.file, ":PAIR, where PAIR is one of ", names_of(pairs));
    const Reference reference{name, file.at("by").get<std::string>(), file.at("source").get<std::string>(),
                              points_of(file, pairs[name])};
    const auto no_later = [](const ReferencePoint& a, const ReferencePoint& b) { return b.step <= a.step; };
    const std::vector<ReferencePoint>& points = reference.points;
    if (points.size() < 2 || std::adjacent_find(points.begin(), points.end(), no_later) != points.end())
      user_error("--reference ", asked.file, ": pair \"", name, "\" needs at least two points at increasing steps");
    return reference;
  } catch (const Json::exception&) {
    user_error("--reference ", asked.file,
               ": not a file of curves: it needs \"by\", \"source\", \"planned_steps\", \"pairs\", \"steps\" and "
               "\"curves\" like data/paper_curves.json");
  }
}

double mean_distance(const std::vector<GapAt>& a, const std::vector<GapAt>& b) {
  if (a.size() < 2 || b.size() < 2) return kUnknown;
  const double first = std::max(a.front().x, b.front().x), last = std::min(a.back().x, b.back().x);
  if (!(first < last)) return kUnknown;
  std::set<double> grid = {first, last};
  for (const std::vector<GapAt>* curve : {&a, &b})
    for (const GapAt& point : *curve)
      if (point.x > first && point.x < last) grid.insert(point.x);
  double area = 0;
  for (auto x = grid.begin(), next = std::next(x); next != grid.end(); ++x, ++next)
    area += (*next - *x) * mean_magnitude(gap_at(a, *x) - gap_at(b, *x), gap_at(a, *next) - gap_at(b, *next));
  return area / (last - first);
}

}  // namespace gptmoe
