#pragma once
#include <nlohmann/json_fwd.hpp>

#include "report/comparison.h"
#include "report/sweep.h"

namespace gptmoe {

// Every number of the comparison, unrounded. Unknown and unreached numbers are null.
//   headline, notes[], matched_tokens, target_perplexity, config {path: [value per arm]} where arms differ
//   reference (null: none): name, by, source, points[] {step, share, gap}
//   arms[]:
//     label
//     runs[] {dir, step, planned_steps, finished, diverged, provenance[] (entries of provenance.json),
//       changes[] (entries of history.json), perplexity (at the run's last eval), target}
//     final_perplexity, matched_perplexity {mean, std, min, max, count}
//     matched_gap {mean, low, high (the 95 % interval), verdict, by_seed[] {seed, gap}}
//     target {tokens, seconds, tokens_change, seconds_change}
//     tokens_per_second, throughput_ratio, speed_obstacle (why throughput_ratio is unknown), mfu
//     spikes_per_run, skipped_per_run, diverged (number of runs)
//     expert_load [layer][rank, busiest first] (1 = balanced), dead_experts {mean, of}
//     curve[] {tokens, seconds, perplexity, perplexity_ema, router_entropy[layer]}
//     gap[] {tokens, step, gap (like matched_gap)}
//     gap_by_steps[] (like gap, but at equal steps; empty if arms have equal tokens per step)
//     reference_distance (mean distance of the arm's gap from the reference's)
//   validation_sets, if there are several: [] {name, arms[] with some of the keys above}
//   tasks, if there are any: [] {name, chance, arms[] {label, curve[] {tokens, step, acc}}}
//   sweep, if there is one: target_perplexity, points[] {config, settings {path: value}, best, target, against_first
//     {gap, tokens, tokens_change} (the first config at the same setting; null: none), arm (like arms[])}
nlohmann::ordered_json json_report(const Comparison& comparison, const Sweep* sweep = nullptr);

}  // namespace gptmoe
