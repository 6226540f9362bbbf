#pragma once
// Ready-made routings for the cases of ops that come after the router, sorted by plain loops.
#include <string_view>

#include "op_cases/op_case.h"

namespace gptmoe {

enum class Spread {
  random,        // distinct experts per token, drawn at random
  empty_expert,  // random, but no token chooses expert 1 (needs E > K)
  same_experts,  // every token chooses experts 0 .. K-1; if K = 1, all tokens are on one expert
  dead_slots,    // K = E; slot k has expert k or, more often, is dead; expert 1 and the first token have no live slot
  all_dead,      // no slot has an expert
  tile_edges,    // K = 1: experts 0 .. 4 get 0, 1, 127, 128 and 129 tokens, 385 in total
};

std::string_view spread_name(Spread spread);

struct RoutingPlan {
  RoutingPlan(int64_t n, int64_t k, int64_t e, Spread spread);

  std::vector<int64_t> expert_ids;  // (N, K)
  std::vector<int64_t> offsets;     // (E+1)
  std::vector<int64_t> slots;       // sorted row -> slot, live rows only
  std::vector<int64_t> positions;   // (N, K), slot -> sorted row; -1 if dead

  int64_t live() const { return std::ssize(slots); }
};

// N, K, E and a spread.
struct RoutingShape {
  int64_t n, k, e;
  Spread spread = Spread::random;

  RoutingPlan plan() const { return RoutingPlan(n, k, e, spread); }
};

constexpr RoutingShape kTileEdges{385, 1, 5, Spread::tile_edges};
// One expert and one token, odd sizes, K = E, an expert without tokens, all tokens on the same expert, many tokens.
const std::vector<RoutingShape>& routing_shapes();
// Shapes for ops that support dead slots.
const std::vector<RoutingShape>& shapes_with_dead_slots();
// The width C that follows `c` in 1, 5, 24, 64, 1, ... Cases combine the shapes with these widths in turn, so that the
// shape with most tokens gets 64.
int64_t next_width(int64_t c);

// Rows that sum to about 1; the order of the values differs from row to row. No two values of a row are closer than 1 /
// E^2, so finite steps do not change the choice.
Fill distinct_probabilities(int64_t e);

}  // namespace gptmoe
