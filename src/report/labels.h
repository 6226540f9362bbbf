#pragma once
// The names of arms in reports.
#include <string>
#include <vector>

#include "report/comparison.h"

namespace gptmoe {

// Short names for different paths, in the same order. First, folders that all paths share are left out: "a/8c1_topk/x"
// and "a/8c1_default/x" become "8c1_topk" and "8c1_default". Then a beginning or an end that all names share, up to a
// "_", "-" or "=", is left out unless only numbers would remain: "topk" and "default". The name of a single path is its
// last folder, preceded by the folder above if the last one is named by settings. A name that is already taken gets a
// number: "a (2)".
std::vector<std::string> short_names(const std::vector<std::string>& paths);

// Checks the values of --label. There must be none, or one for each of `names`. They must differ, must not be empty,
// may have at most 60 characters each and no control characters. Otherwise throws UserError naming --label.
void check_labels(const std::vector<std::string>& labels, const std::vector<std::string>& names);

// Names the arms. In a sweep (`by_family`), the arms of one family follow one another; each family has one name, and an
// arm is called "NAME SETTINGS". `labels` has one name for each arm, or in a sweep for each family. If it is empty, the
// names are short_names() of the folders of the runs. Throws the UserError of check_labels().
void label_arms(std::vector<Arm>& arms, const std::vector<std::string>& labels, bool by_family);

}  // namespace gptmoe
