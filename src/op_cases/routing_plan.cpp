#include "op_cases/routing_plan.h"

#include <numeric>

namespace gptmoe {

std::string_view spread_name(Spread spread) {
  switch (spread) {
    case Spread::random: return "";
    case Spread::empty_expert: return "empty_expert";
    case Spread::same_experts: return "same_experts";
    case Spread::dead_slots: return "dead_slots";
    case Spread::all_dead: return "all_dead";
    case Spread::tile_edges: return "tile_edges";
  }
  return "";
}

RoutingPlan::RoutingPlan(int64_t n, int64_t k, int64_t e, Spread spread) : offsets(e + 1, 0), positions(n * k, -1) {
  GPTMOE_CHECK(k + (spread == Spread::empty_expert) <= e);
  if (spread == Spread::tile_edges) {
    GPTMOE_CHECK(n == 385 && k == 1 && e == 5);
    for (int64_t token = 0; token < n; ++token) {
      const int64_t place = token * 17 % n;  // 17 and 385 have no common factor
      expert_ids.push_back(place < 1 ? 1 : place < 128 ? 2 : place < 256 ? 3 : 4);
    }
  }
  const Rng rng(n * 10007 + k * 101 + e, static_cast<uint64_t>(spread));
  const bool dead = spread == Spread::dead_slots || spread == Spread::all_dead;
  for (int64_t slot = 0; dead && slot < n * k; ++slot) {
    GPTMOE_CHECK(k == e);
    const bool live = spread == Spread::dead_slots && slot >= k && slot % k != 1 && rng.uniform(slot) < 0.45;
    expert_ids.push_back(live ? slot % k : -1);
  }
  const bool drawn = expert_ids.empty();
  for (int64_t token = 0; drawn && token < n; ++token) {
    std::vector<int64_t> order(e);
    std::iota(order.begin(), order.end(), 0);
    if (spread == Spread::empty_expert) order.erase(order.begin() + 1);
    const int64_t choices = static_cast<int64_t>(order.size());
    for (int64_t i = 0; i < k; ++i) {
      if (spread != Spread::same_experts) std::swap(order[i], order[i + rng.below(token * e + i, choices - i)]);
      expert_ids.push_back(order[i]);
    }
  }
  for (int64_t expert = 0; expert < e; ++expert) {
    for (int64_t slot = 0; slot < n * k; ++slot) {
      if (expert_ids[slot] != expert) continue;
      positions[slot] = static_cast<int64_t>(slots.size());
      slots.push_back(slot);
    }
    offsets[expert + 1] = static_cast<int64_t>(slots.size());
  }
}

const std::vector<RoutingShape>& routing_shapes() {
  static const std::vector<RoutingShape> shapes = {{1, 1, 1},
                                                   {1, 1, 5},
                                                   {1, 2, 3},
                                                   {550, 2, 7},
                                                   {7, 3, 3},
                                                   {33, 1, 8},
                                                   {33, 2, 5, Spread::empty_expert},
                                                   {70, 4, 32},
                                                   {130, 2, 8, Spread::same_experts},
                                                   {7, 1, 3, Spread::same_experts}};
  return shapes;
}

const std::vector<RoutingShape>& shapes_with_dead_slots() {
  static const std::vector<RoutingShape> shapes = {
      {33, 5, 5, Spread::dead_slots}, {300, 8, 8, Spread::dead_slots}, {7, 3, 3, Spread::all_dead}};
  return shapes;
}

int64_t next_width(int64_t c) { return c == 1 ? 5 : c == 5 ? 24 : c == 24 ? 64 : 1; }

Fill distinct_probabilities(int64_t e) {
  return [e](const Rng& rng, int64_t i) {
    const int64_t row = i / e;
    int64_t stride = 1 + static_cast<int64_t>(rng.below(2 * row, e));
    while (std::gcd(stride, e) != 1) ++stride;
    const int64_t rank = (i % e * stride + static_cast<int64_t>(rng.below(2 * row + 1, e))) % e;
    const double jitter = 0.25 * rng.uniform(i);
    return (static_cast<double>(rank) + 0.75 + jitter) / (0.5 * static_cast<double>(e * (e + 1)));
  };
}

}  // namespace gptmoe
