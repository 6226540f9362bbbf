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

// "training tokens" and "training steps", from 0.
Axis token_axis();
Axis step_axis();

// Mean validation perplexity with the band from the lowest to the highest seed, log scale. With many evals, the first
// fifth of training may be above the frame (y.to is set then), so that the end is readable. The baseline's final
// perplexity is marked.
Chart perplexity_by_tokens(const Comparison& comparison);
Chart perplexity_by_time(const Comparison& comparison);
// Perplexity above (+) or below (-) the baseline's at equal tokens, in percent; the band is the confidence interval
// (PairedGap). The frame holds every mean and every arm's last interval; earlier intervals that are wider are cut off.
// A reference (another experiment's gap, report/reference.h) is drawn as a dashed line at its own steps. If its
// training is shorter or longer than ours, a second dashed line places its points at equal fractions of training. The
// reference's points before our first evaluation may be outside the frame.
Chart gap_chart(const Comparison& comparison);
// The gap at equal steps, for the arms with more or fewer tokens per step than the baseline; nullopt if there are none.
std::optional<Chart> gap_by_steps_chart(const Comparison& comparison);

// One field of the train rows against tokens. Training is divided into up to 120 equal ranges of tokens; each point is
// the mean over the rows of all runs in one range.
Chart train_chart(const Comparison& comparison, const std::string& id, const std::string& title, Scale scale,
                  double (*field)(const TrainRow&));

// Router entropy of one arm against tokens, one line per MoE layer (fainter towards the input), with ln(E) marked. The
// y axis is shared by all arms.
Chart entropy_chart(const Comparison& comparison, size_t arm);
// Expert load of one arm at its last eval, busiest expert first, one row per MoE layer. The scale is shared by all
// arms.
Heatmap load_map(const Comparison& comparison, size_t arm);

// Final perplexity against the one number that a sweep varies: one line per config, or a dot for a config with one
// point. nullopt if the sweep varies several settings or anything but a number, or has only one value.
std::optional<Chart> sweep_chart(const Sweep& sweep);
// Whether some config of a sweep has several points. If none has, perplexity_by_tokens() already shows all the curves
// of sweep_curves().
bool has_curves(const Sweep& sweep);
// Perplexity against tokens for one config of a sweep, one line per grid point.
Chart sweep_curves(const Sweep& sweep, size_t family);

}  // namespace gptmoe
