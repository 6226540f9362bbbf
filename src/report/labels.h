#pragma once
// What reports call their arms.
#include <string>
#include <vector>

#include "report/comparison.h"

namespace gptmoe {

// Short names for different paths, in their order: folders that all share are left out ("a/8c1_topk/x",
// "a/8c1_default/x" become "8c1_topk", "8c1_default"), and then a beginning or end that all share up to a "_", "-" or
// "=" ("topk", "default"), unless only numbers would remain. Of one path, its last folder, after the one above it if
// the last holds settings. A name that is still not alone gets a number: "a (2)".
std::vector<std::string> short_names(const std::vector<std::string>& paths);

// Throws UserError naming --label unless there are no labels, or one for each of `names`, all different, none empty,
// each of at most 60 characters and without control characters.
void check_labels(const std::vector<std::string>& labels, const std::vector<std::string>& names);

// Names the arms. In a sweep, where arms of one family follow one another, a name is that of a family; each arm then is
// "NAME SETTINGS". `labels` are the names in this order; if there are none, the names are short_names() of the folders
// of the runs. Throws as check_labels() does.
void label_arms(std::vector<Arm>& arms, const std::vector<std::string>& labels, bool by_family);

}  // namespace gptmoe
