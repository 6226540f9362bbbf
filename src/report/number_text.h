#pragma once
// Numbers and sentences that all reports share.
#include <string>

#include "report/comparison.h"

namespace gptmoe {

// `value` with `decimals` decimals; "unknown" if it is not finite.
std::string fixed(double value, int decimals);
// "62.10": four significant digits, as for all perplexities; whole numbers from 1000 on.
std::string perplexity_text(double perplexity);
// "62.10 ± 0.40"; without spread for a single value.
std::string spread_text(const Statistics& perplexity);
// "+1.8 %", "−9.0 %" from 0.018 and −0.09.
std::string percent_text(double change);
// "+2.4 to +4.5 %"; empty if there is no interval.
std::string interval_text(const PairedGap& gap);
// "+3.4 % (+2.4 to +4.5 %)"; "+3.4 %" for one pair of seeds; "—" for none.
std::string gap_text(const PairedGap& gap);
// "better", "worse", "undecided"; empty without a verdict.
std::string verdict_text(const PairedGap& gap);
// "1.23 M", "10:02", "0.86×"; "unknown" if not finite.
std::string tokens_text(double tokens);
std::string seconds_text(double seconds);
std::string ratio_text(double ratio);
// "1 seed", "3 seeds".
std::string seeds_text(size_t runs);

// "diverged", "diverged (1 of 2)" for an arm's runs; empty if none diverged.
std::string divergence_text(const ArmResult& arm);
// "5 of 24", "4.3 of 24" as a mean over runs; empty if unknown.
std::string dead_text(const ArmResult& arm);

// The result of the comparison in one sentence.
std::string headline(const Comparison& comparison);
// The arm's gap to the baseline in each pair of runs of equal seed; empty for fewer than two pairs.
std::string seeds_sentence(const Comparison& comparison, const ArmResult& arm);
// One sentence: the tokens and time that an arm takes to reach the baseline's final perplexity, and its relative
// throughput.
std::string target_sentence(const Comparison& comparison, const ArmResult& arm);
// How much the arm's gap differs from the reference's; empty without a reference.
std::string reference_sentence(const Comparison& comparison, const ArmResult& arm);
// "Panda et al., 8c1".
std::string reference_name(const Reference& reference);
// The sentences that follow the headline: seeds, target and reference sentence of every arm that has them.
std::vector<std::string> sentences(const Comparison& comparison);

}  // namespace gptmoe
