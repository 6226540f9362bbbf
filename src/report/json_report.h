#pragma once
#include <nlohmann/json_fwd.hpp>

#include "report/comparison.h"
#include "report/sweep.h"

namespace gptmoe {

// Every number of the comparison, unrounded. Unknown and unreached numbers are null.
//   headline, notes[], matched_tokens, target_perplexity, config {path: [value per arm]} where arms differ,
//   reference, if there is one: name, by, source, points[] {step, share, gap},
//   arms[]: label, runs[] {dir, step, planned_steps, finished, diverged, provenance[] (as in its file), perplexity
//     (its last), target},
//     final_perplexity and matched_perplexity {mean, std, min, max, count}, matched_gap {mean, low, high (the 95 %
//     interval), verdict, by_seed[] {seed, gap}}, target {tokens, seconds, tokens_change, seconds_change},
//     tokens_per_second, throughput_ratio, speed_obstacle (why it is unknown), mfu, expert_load [layer][rank, busiest
//     first] (1 = balanced), dead_experts {mean, of}, curve[] {tokens, seconds, perplexity, router_entropy[layer]},
//     gap[] {tokens, step, gap (as matched_gap)}, gap_by_steps[] (the same at equal steps, where steps differ in
//     tokens), spikes_per_run, diverged (runs), reference_distance (mean distance of its gap from the reference's)
//   sweep, if there is one: target_perplexity, points[] {config, settings {path: value}, best, target, against_first
//     {gap, tokens, tokens_change} (against the first config at the same setting), arm (as above)}
nlohmann::ordered_json json_report(const Comparison& comparison, const Sweep* sweep = nullptr);

}  // namespace gptmoe
