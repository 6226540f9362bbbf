#pragma once
// The pictures of a report: which numbers go into which chart.
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

// Mean validation perplexity with the band from the lowest to the highest seed, log scale. Where evals are many, the
// first fifth of training may lie above the frame (y.to is set then), so that the end can be told apart; the baseline's
// final perplexity is marked.
Chart perplexity_by_tokens(const Comparison& comparison);
Chart perplexity_by_time(const Comparison& comparison);
// Perplexity above (+) or below (-) the baseline's at equal tokens, in percent; the band is the interval. The frame
// holds every mean and every arm's last interval; an interval that reaches farther on the way is cut.
// A reference is dashed: at its own steps and, where its training is shorter or longer, at its shares of ours. What it
// did before our first evaluation may lie outside the frame.
Chart gap_chart(const Comparison& comparison);
// The same at equal steps, of the arms whose steps are not as many tokens as the baseline's; nullopt without any.
std::optional<Chart> gap_by_steps_chart(const Comparison& comparison);

// One field of the train rows against tokens: the mean over rows and runs in up to 120 equal stretches of tokens.
Chart train_chart(const Comparison& comparison, const std::string& id, const std::string& title, Scale scale,
                  double (*field)(const TrainRow&));

// Router entropy of one arm against tokens, a line per MoE layer (fainter towards the input), ln(E) marked. The y axis
// is shared by all arms.
Chart entropy_chart(const Comparison& comparison, size_t arm);
// Expert load of one arm at its last eval, busiest expert first, one row per MoE layer. The scale is shared by all
// arms.
Heatmap load_map(const Comparison& comparison, size_t arm);

// Final perplexity against the one number that a sweep varies, a line per config; nullopt where it varies another
// thing, or several.
std::optional<Chart> sweep_chart(const Sweep& sweep);
// The curves of a config's points, a line each.
Chart sweep_curves(const Sweep& sweep, size_t family);

}  // namespace gptmoe
