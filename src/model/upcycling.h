#pragma once
// Sparse upcycling (Komatsuzaki et al., arXiv 2212.05055): the experts of a MoE layer start as copies of a dense
// feed-forward layer, and the router starts fresh. With equal experts, the layer gives the output of the dense
// layer times the sum of a token's gates, so the copies are scaled by the inverse of that sum (He et al., arXiv
// 2410.07524).
#include "config/config.h"

namespace gptmoe {

// In an upcycled layer, the router's weights start at this fraction of their usual size. A token's gates then differ by
// only a few millionths, so their sum is practically the same for every token. The tokens are still spread over the
// experts at random.
inline constexpr double kUpcycledRouterScale = 1e-5;

// The factor for the experts' down projections that makes a MoE layer of equal experts start with the output of a
// single expert. It is 1 if gates sum to one, and E / K for TopK without renormalisation. It is measured on a few
// tokens, with router weights scaled by kUpcycledRouterScale. Throws UserError if there is no such factor: if the
// router's gates do not sum to the same number for all tokens, or if the model has shared experts. With the default
// router, the factor is right while the default vectors are zero. That router must have ema_weighting "score", so that
// the vectors later add at most the mean output of one gate.
double upcycled_output_scale(const ModelConfig& model, const RouterConfig& router);

}  // namespace gptmoe
