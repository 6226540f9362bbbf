#pragma once
// The charts of a report.
#include <optional>
#include <string>
#include <vector>

#include "report/comparison.h"
#include "report/svg_chart.h"
#include "report/svg_heatmap.h"
#include "report/sweep.h"

namespace gptmoe {

// "training tokens", from 0.
Axis token_axis();

// Mean validation perplexity with the band from the lowest to the highest seed, log scale. With many evals, the first
// fifth of training may be above the frame (y.to is set then), so that the end is readable. The baseline's final
// perplexity is marked.
Chart perplexity_by_tokens(const Comparison& comparison);
Chart perplexity_by_time(const Comparison& comparison);
// Perplexity above (+) or below (-) the baseline's at equal tokens, in percent; the band is the interval. The frame
// holds every mean and every arm's last interval; wider intervals before that are cut. A reference is drawn as a dashed
// line over its own steps and, if its training is shorter or longer than ours, as another one over the share of
// training. Its points before our first evaluation may be outside the frame.
Chart gap_chart(const Comparison& comparison);
// The same at equal steps, for the arms whose steps differ from the baseline's in their number of tokens; nullopt if
// none.
std::optional<Chart> gap_by_steps_chart(const Comparison& comparison);

// One field of the train rows against tokens: the mean over rows and runs in up to 120 equal ranges of tokens.
Chart train_chart(const Comparison& comparison, const std::string& id, const std::string& title, Scale scale,
                  double (*field)(const TrainRow&));

// Router entropy of one arm against tokens, a line per MoE layer (fainter towards the input), ln(E) marked. The y axis
// is shared by all arms.
Chart entropy_chart(const Comparison& comparison, size_t arm);
// Expert load of one arm at its last eval, busiest expert first, one row per MoE layer. The scale is shared by all
// arms.
Heatmap load_map(const Comparison& comparison, size_t arm);

// Final perplexity against the one number that a sweep varies, a line per config; nullopt if it varies something else
// or several things.
std::optional<Chart> sweep_chart(const Sweep& sweep);
// The curves of a config's points, one line each.
Chart sweep_curves(const Sweep& sweep, size_t family);

}  // namespace gptmoe
