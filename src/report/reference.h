#pragma once
// The gap between two arms in another experiment, for a comparison with our gap: `--reference` of `gptmoe compare` and
// `gptmoe report`.
#include <string>
#include <vector>

#include "base/statistics.h"

namespace gptmoe {

struct ReferencePoint {
  double step = 0;
  double share = 0;  // of the planned training, 0 to 1
  double gap = 0;    // perplexity of the arm / the baseline's - 1
};

struct Reference {
  std::string name;  // of the pair: "8c1"
  std::string by;    // the authors: "Panda et al."
  std::string source;
  std::vector<ReferencePoint> points;  // steps strictly increasing
};

// `argument` is FILE or FILE:PAIR. Without PAIR, the name of the config chooses the pair: NAME if `config` is NAME or
// starts with NAME_, as "8c1" for "8c1_topk"; the longest NAME if there are several. FILE is an object
//   {"by", "source", "planned_steps", "pairs": {NAME: {"baseline": CURVE, "arm": CURVE}}, "steps": [...],
//    "curves": {CURVE: [nats per token at each of the steps, or null]}}
// like data/paper_curves.json. Throws UserError, listing FILE's pairs, if FILE does not hold the pair.
Reference read_reference(const std::string& argument, const std::string& config);

// The mean of |a - b| over the range of x that both curves cover, with straight lines between points (x strictly
// increasing); unknown if there is no such range.
struct GapAt {
  double x = 0, gap = 0;
};
double mean_distance(const std::vector<GapAt>& a, const std::vector<GapAt>& b);

}  // namespace gptmoe
