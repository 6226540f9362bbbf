#pragma once
#include <vector>

#include "tokenizer/tokenizer.h"

namespace gptmoe {

// The vocabulary's merges with a different rank for each, as tokenizer.json stores them; texts encode to the same ids.
// A rank file has a merge for every way to cut a token in two. But the bytes of a token are always merged as if nothing
// surrounded them, so only one of these merges ever makes the token: the last one when its bytes are merged. The others
// are left out. If the bytes do not become the token in this way, no merge ever makes it, and all its merges are left
// out.
std::vector<Merge> merges_with_own_ranks(const Vocabulary& vocabulary);

}  // namespace gptmoe
