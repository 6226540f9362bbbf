#pragma once
#include <vector>

#include "tokenizer/tokenizer.h"

namespace gptmoe {

// The vocabulary's merges with a different rank for each, as tokenizer.json stores them; texts encode to the same ids.
// A rank file has a merge for every way to cut a token in two. The bytes of a token are merged as if they were alone,
// so only the last merge of those bytes alone ever makes the token, and the other merges are left out. A token that its
// bytes alone do not become is never made by a merge.
std::vector<Merge> merges_with_own_ranks(const Vocabulary& vocabulary);

}  // namespace gptmoe
