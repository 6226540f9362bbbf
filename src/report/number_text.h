#pragma once
// Numbers and sentences as every report prints them.
#include <string>

#include "report/comparison.h"

namespace gptmoe {

// `value` with that many decimals; "unknown" when it is not finite.
std::string fixed(double value, int decimals);
// "62.10": four significant digits, the precision perplexities are told with; whole numbers from 1000 on.
std::string perplexity_text(double perplexity);
// "62.10 ± 0.40"; without spread for a single value.
std::string spread_text(const Statistics& perplexity);
// "+1.8 %", "−9.0 %" from 0.018 and −0.09.
std::string percent_text(double change);
// "+2.4 to +4.5 %"; empty where there is no interval.
std::string interval_text(const PairedGap& gap);
// "+3.4 % (+2.4 to +4.5 %)"; "+3.4 %" of one pair of seeds; "—" of none.
std::string gap_text(const PairedGap& gap);
// "better", "worse", "undecided"; empty where there is none.
std::string verdict_text(const PairedGap& gap);
// "1.23 M", "10:02", "0.86×"; "unknown" when not finite.
std::string tokens_text(double tokens);
std::string seconds_text(double seconds);
std::string ratio_text(double ratio);
// "1 seed", "3 seeds".
std::string seeds_text(size_t runs);

// "diverged", "diverged (1 of 2)" of an arm's runs; empty where none has.
std::string divergence_text(const ArmResult& arm);
// "5 of 24", "4.3 of 24" as a mean over runs; empty where it is unknown.
std::string dead_text(const ArmResult& arm);

// The answer in one sentence, whichever way it goes.
std::string headline(const Comparison& comparison);
// The arm's gap to the baseline in each pair of runs of equal seed; empty for fewer than two pairs.
std::string seeds_sentence(const Comparison& comparison, const ArmResult& arm);
// Tokens and time to the baseline's final perplexity, and throughput, of one arm against the baseline; one sentence.
std::string target_sentence(const Comparison& comparison, const ArmResult& arm);
// How far its gap lies from the reference's; empty without one.
std::string reference_sentence(const Comparison& comparison, const ArmResult& arm);
// "Panda et al., 8c1".
std::string reference_name(const Reference& reference);
// What follows the headline: the sentences above of every arm that has them.
std::vector<std::string> sentences(const Comparison& comparison);

}  // namespace gptmoe
