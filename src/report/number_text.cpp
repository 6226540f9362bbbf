#include "report/number_text.h"

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

// "default is 3.4 % higher (worse; 95 % interval +2.4 to +4.5 %)".
std::string gap_phrase(const ArmResult& arm, const ArmResult& baseline) {
  const PairedGap& gap = arm.matched_gap;
  const std::string &name = arm.arm.label, &other = baseline.arm.label;
  if (gap.by_seed.empty()) return text(name, " shares no seed with ", other, ": no verdict");
  if (!std::isfinite(gap.mean)) return text(name, " has no known gap to ", other);
  std::string out = std::fabs(gap.mean) < 0.0005
                        ? text(name, " is level with ", other)
                        : text(name, " is ", magnitude_text(gap.mean), gap.mean > 0 ? " higher" : " lower");
  if (verdict_of(gap) == Verdict::none) return out + " (one seed, no verdict; --seeds 3 gives an interval)";
  return text(out, " (", verdict_text(gap), "; 95 % interval ", interval_text(gap), ")");
}

// "ends at" if all arms that did not diverge have finished, at the same token count; otherwise "is at".
std::string verb(const Comparison& comparison) {
  for (const ArmResult& result : comparison.arms) {
    if (result.diverged > 0) continue;
    if (result.tokens() != comparison.matched_tokens) return " is at ";
    for (const RunLog& run : result.arm.runs)
      if (!run.finished()) return " is at ";
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
  return text(result.arm.label, " is at training loss ", fixed(rows.back().loss, 3), " after ",
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

std::string spread_text(const Statistics& perplexity) {
  if (!std::isfinite(perplexity.mean) || !std::isfinite(perplexity.std)) return perplexity_text(perplexity.mean);
  return perplexity_text(perplexity.mean) + " ± " + fixed(perplexity.std, perplexity_decimals(perplexity.mean));
}

std::string percent_text(double change) {
  if (!std::isfinite(change)) return "unknown";
  const std::string digits = magnitude_text(change);
  return digits == "0.0 %" ? digits : (change < 0 ? "−" : "+") + digits;
}

std::string interval_text(const PairedGap& gap) {
  if (verdict_of(gap) == Verdict::none) return "";
  const std::string low = percent_text(gap.low);
  return low.substr(0, low.size() - 2) + " to " + percent_text(gap.high);
}

std::string gap_text(const PairedGap& gap) {
  if (gap.by_seed.empty()) return "—";
  const std::string interval = interval_text(gap);
  return percent_text(gap.mean) + (interval.empty() ? "" : " (" + interval + ")");
}

std::string verdict_text(const PairedGap& gap) {
  switch (verdict_of(gap)) {
    case Verdict::none: return "";
    case Verdict::better: return "better";
    case Verdict::worse: return "worse";
    case Verdict::undecided: return "undecided";
  }
  GPTMOE_CHECK(false);
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
    if (!baseline && comparison.arms[0].matched.count > 0)
      verdicts += (verdicts.empty() ? ": " : "; ") + gap_phrase(arm, comparison.arms[0]);
  }
  if (values.empty()) return text("Nothing to compare: ", missing.substr(2), ".");
  return text(values, " (", where_headline(comparison), ")", verdicts, missing, ".");
}

std::string seeds_sentence(const Comparison& comparison, const ArmResult& arm) {
  if (arm.matched_gap.by_seed.size() < 2) return "";
  std::string out;
  for (const SeedGap& seed : arm.matched_gap.by_seed)
    out += text(out.empty() ? "" : ", ", percent_text(seed.gap), " (seed ", seed.seed, ")");
  return text(arm.arm.label, " against ", comparison.arms[0].arm.label, " by seed: ", out, ".");
}

std::string target_sentence(const Comparison& comparison, const ArmResult& arm) {
  const ArmResult& baseline = comparison.arms[0];
  if (!baseline.target || arm.curve.empty() || arm.diverged > 0) return "";
  if (arm.target && !std::isfinite(arm.target_tokens_change)) return "";
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

std::string reference_name(const Reference& reference) { return reference.by + ", " + reference.name; }

std::string reference_sentence(const Comparison& comparison, const ArmResult& arm) {
  const double distance = distance_from_reference(comparison, arm);
  if (!std::isfinite(distance)) return "";
  return text("At equal fractions of training, the gap of ", arm.arm.label, " differs from that of ",
              reference_name(*comparison.reference), " by ", fixed(100 * distance, 1),
              " percentage points on average.");
}

std::vector<std::string> sentences(const Comparison& comparison) {
  std::vector<std::string> out;
  for (size_t i = 1; i < comparison.arms.size(); ++i)
    for (const auto sentence_of : {seeds_sentence, target_sentence, reference_sentence})
      if (std::string sentence = sentence_of(comparison, comparison.arms[i]); !sentence.empty())
        out.push_back(std::move(sentence));
  return out;
}

}  // namespace gptmoe
