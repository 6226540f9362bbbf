#pragma once
// How the optimizer updates each parameter. optimizer.groups decides, or optimizer.type for parameters without a group.
#include <string>
#include <vector>

#include "config/config.h"
#include "memory/param_table.h"

namespace gptmoe {

struct UpdateRule {
  bool muon = false;               // else AdamW
  double learning_rate_scale = 1;  // the rate as a multiple of optimizer.learning_rate
  double weight_decay = 0;

  bool operator==(const UpdateRule&) const = default;
};

// The rules of the table's rows, in order. With optimizer.type "muon", the hidden matrices follow Muon: the rows of
// attention and feed-forward layers, whose names end in "_proj.weight". Every other row follows AdamW. Rows whose
// `weight_decay` is true decay by optimizer.weight_decay, and the others do not. A group changes the rows whose names
// match its pattern, unless an earlier group matches them too.
// Throws KeyError, whose message calls the config `file`, if a group applies to no row or assigns Muon to a row that is
// not a matrix.
std::vector<UpdateRule> update_rules(const OptimizerConfig& config, const ParamTable& params,
                                     const std::string& file = "config");

// Throws the errors of update_rules() for the config's model.
void check_param_groups(const Config& config, const std::string& file);

// A table of the parameters' rules, as lines without a final newline: for example
//   model.layers.0-3.mlp.experts.0-7.gate_proj.weight   32   1.05 M   muon   2e-3   0.1
// Layers and experts that differ only in their numbers share a line. Empty if the optimizer is AdamW without groups.
std::string rule_table(const OptimizerConfig& config, const ParamTable& params);

}  // namespace gptmoe
