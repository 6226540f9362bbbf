#include "report/words.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/check.h"
#include "base/progress.h"

namespace gptmoe {
namespace {

int perplexity_decimals(double perplexity) {
  return perplexity < 9.9995 ? 3 : perplexity < 99.995 ? 2 : perplexity < 999.95 ? 1 : 0;
}

// "on 3 seeds each", "on 3 and 2 seeds".
std::string seeds_phrase(const Comparison& comparison) {
  const std::vector<ArmResult>& arms = comparison.arms;
  const bool equal = std::all_of(arms.begin(), arms.end(), [&](const ArmResult& result) {
    return result.arm.runs.size() == arms[0].arm.runs.size();
  });
  if (equal) return seeds_text(arms[0].arm.runs.size()) + (comparison.single() ? "" : " each");
  std::string out;
  for (size_t i = 0; i < arms.size(); ++i)
    out += text(i == 0 ? "" : i + 1 == arms.size() ? " and " : ", ", arms[i].arm.runs.size());
  return out + " seeds";
}

// "9.0 %" from 0.09 and -0.09.
std::string magnitude_text(double change) {
  return fixed(std::fabs(100 * change), std::fabs(change) < 0.0995 ? 1 : 0) + " %";
}

// "default is 1.8 % higher (worse)".
std::string verdict(const ArmResult& arm, const ArmResult& baseline) {
  const double difference = arm.matched.mean - baseline.matched.mean;
  if (std::fabs(arm.matched_gap) < 0.0005) return text(arm.arm.label, " is level with ", baseline.arm.label);
  std::string out = text(arm.arm.label, " is ", magnitude_text(arm.matched_gap),
                         difference > 0 ? " higher (worse)" : " lower (better)");
  // Unknown spreads (a single seed) compare false: nothing is claimed then.
  if (std::fabs(difference) <= std::hypot(arm.matched.std, baseline.matched.std))
    out += ", within the spread of the seeds";
  return out;
}

// "ends at" where every arm did what was asked of it and stops where the others stop.
std::string verb(const Comparison& comparison) {
  for (const ArmResult& result : comparison.arms) {
    if (result.diverged > 0) continue;
    if (result.tokens() != comparison.matched_tokens) return " stands at ";
    for (const RunLog& run : result.arm.runs)
      if (!run.finished()) return " stands at ";
  }
  return " ends at ";
}

std::string where_headline(const Comparison& comparison) {
  return text(tokens_text(static_cast<double>(comparison.matched_tokens)), " tokens, ", seeds_phrase(comparison));
}

std::string single_headline(const Comparison& comparison) {
  const ArmResult& result = comparison.arms[0];
  if (result.diverged > 0) return text(result.arm.label, " ", divergence_text(result), ".");
  if (!result.curve.empty())
    return text(result.arm.label, verb(comparison), "validation perplexity ", spread_text(result.matched), " (",
                where_headline(comparison), ").");
  const std::vector<TrainRow>& rows = result.arm.runs[0].train;
  if (rows.empty()) return text(result.arm.label, " has nothing measured yet.");
  return text(result.arm.label, " stands at training loss ", fixed(rows.back().loss, 3), " after ",
              tokens_text(static_cast<double>(rows.back().tokens)), " tokens, without a validation yet.");
}

}  // namespace

std::string fixed(double value, int decimals) {
  if (!std::isfinite(value)) return "unknown";
  char out[400];
  std::snprintf(out, sizeof out, "%.*f", decimals, value);
  return out;
}

std::string perplexity_text(double perplexity) {
  return std::isfinite(perplexity) ? fixed(perplexity, perplexity_decimals(perplexity)) : "not a number";
}

std::string spread_text(const Spread& perplexity) {
  if (!std::isfinite(perplexity.mean) || !std::isfinite(perplexity.std)) return perplexity_text(perplexity.mean);
  return perplexity_text(perplexity.mean) + " ± " + fixed(perplexity.std, perplexity_decimals(perplexity.mean));
}

std::string percent_text(double change) {
  if (!std::isfinite(change)) return "unknown";
  const std::string digits = magnitude_text(change);
  return digits == "0.0 %" ? digits : (change < 0 ? "−" : "+") + digits;
}

std::string tokens_text(double tokens) { return std::isfinite(tokens) ? metric_count(tokens) : "unknown"; }
std::string seconds_text(double seconds) { return std::isfinite(seconds) ? clock_time(seconds) : "unknown"; }
std::string ratio_text(double ratio) { return std::isfinite(ratio) ? fixed(ratio, 2) + "×" : "unknown"; }
std::string seeds_text(size_t runs) { return text(runs, runs == 1 ? " seed" : " seeds"); }

std::string divergence_text(const ArmResult& arm) {
  if (arm.diverged == 0) return "";
  return arm.arm.runs.size() == 1 ? "diverged" : text("diverged (", arm.diverged, " of ", arm.arm.runs.size(), ")");
}

std::string dead_text(const ArmResult& arm) {
  if (!std::isfinite(arm.dead_experts)) return "";
  return text(fixed(arm.dead_experts, arm.arm.runs.size() > 1 ? 1 : 0), " of ", arm.experts);
}

std::string headline(const Comparison& comparison) {
  if (comparison.single()) return single_headline(comparison);
  std::string values, verdicts, missing;
  for (const ArmResult& arm : comparison.arms) {
    const bool baseline = &arm == &comparison.arms[0];
    if (arm.diverged > 0)
      missing += text("; ", arm.arm.label, baseline ? ", the baseline, " : " ", divergence_text(arm));
    else if (arm.matched.count == 0)
      missing += text("; ", arm.arm.label, " has no comparable validation yet");
    if (arm.matched.count == 0) continue;
    values += values.empty() ? text(arm.arm.label, verb(comparison), "perplexity ") : text(", ", arm.arm.label, " at ");
    values += spread_text(arm.matched);
    if (std::isfinite(arm.matched_gap)) verdicts += (verdicts.empty() ? ": " : "; ") + verdict(arm, comparison.arms[0]);
  }
  if (values.empty()) return text("Nothing to compare: ", missing.substr(2), ".");
  return text(values, " (", where_headline(comparison), ")", verdicts, missing, ".");
}

std::string target_sentence(const Comparison& comparison, const ArmResult& arm) {
  const ArmResult& baseline = comparison.arms[0];
  if (!baseline.target || arm.curve.empty() || arm.diverged > 0) return "";
  std::string out = text(arm.arm.label, arm.target ? " reaches " : " does not reach ", baseline.arm.label,
                         "’s final perplexity of ", perplexity_text(comparison.target_perplexity));
  if (arm.target) {
    const double tokens = arm.target_tokens_change, seconds = arm.target_seconds_change;
    const auto side = [](double change, const char* less, const char* more) {
      return text(magnitude_text(change), " ", change < 0 ? less : more);
    };
    out += text(" in ", side(tokens, "fewer", "more"), " tokens");
    if (std::isfinite(seconds)) out += text(" and ", side(seconds, "less", "more"), " time");
  } else {
    out += text(" within its ", tokens_text(static_cast<double>(arm.tokens())), " tokens");
  }
  if (std::isfinite(arm.throughput_ratio))
    out += text("; it trains at ", ratio_text(arm.throughput_ratio), " the tokens per second");
  return out + ".";
}

}  // namespace gptmoe
