#pragma once
// Sparse upcycling (Komatsuzaki et al., arXiv 2212.05055): the experts of a MoE layer start as copies of a dense
// feed-forward layer, and the router starts fresh. The layer's output is that of the dense layer times the sum of a
// token's gates, so the copies are scaled by the inverse of that sum (He et al., arXiv 2410.07524).
#include "config/config.h"

namespace gptmoe {

// The share of their usual size with which the router's weights of an upcycled layer start. With gates that differ by a
// few millionths, their sum is the same for every token, while chance still spreads the tokens over the experts.
inline constexpr double kUpcycledRouterScale = 1e-5;

// The factor for the experts' down projections with which a MoE layer of equal experts and a router of that size starts
// as one of its experts: 1 if gates sum to one, E / K for TopK without renormalisation. It is measured on a few tokens.
// Throws UserError if there is none: the router's gates do not sum to the same number for all tokens, or the model has
// shared experts.
double upcycled_output_scale(const ModelConfig& model, const RouterConfig& router);

}  // namespace gptmoe
