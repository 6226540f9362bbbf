#pragma once
#include <vector>

#include "tokenizer/tokenizer.h"

namespace gptmoe {

// The vocabulary's merges with a different rank for each, as tokenizer.json stores them; texts encode to the same ids.
// A rank file has a merge for every way to cut a token in two. The bytes of a token are merged as if nothing surrounded
// them, so only the last of these merges ever makes the token, and the others are left out. If a token's bytes, merged
// in this way, do not become the token, no merge ever makes it.
std::vector<Merge> merges_with_own_ranks(const Vocabulary& vocabulary);

}  // namespace gptmoe
