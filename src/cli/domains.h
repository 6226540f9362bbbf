#pragma once
// The texts that `gptmoe analyze --domain NAME=GLOB` compares.
#include <string>
#include <vector>

#include "analysis/domain_routing.h"
#include "data/loader.h"

namespace gptmoe {

// Opens the shards of every NAME=GLOB, for windows of T tokens from a vocabulary of V tokens. Throws UserError if an
// argument does not have this form, a name is given twice, or the shards cannot be read.
std::vector<NamedText> open_domains(const std::vector<std::string>& arguments, int64_t T, int64_t V);

// `count` batches of B windows of T tokens from each text. The windows are spaced evenly over the text and are the same
// in every call. `texts` must outlive the result. Throws UserError naming a domain that has too few windows.
std::vector<Domain> domain_batches(const std::vector<NamedText>& texts, int64_t B, int64_t T, int64_t count);

}  // namespace gptmoe
