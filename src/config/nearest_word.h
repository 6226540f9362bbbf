#pragma once
#include <string>
#include <vector>

namespace gptmoe {

// The member of `candidates` nearest to `word`. That is the one with the least edit distance (insert, delete, replace,
// swap neighbours; case ignored), if this distance is at most max(2, a third of the word's length). Otherwise it is a
// candidate that contains the word or is contained in it, whole or word by word (num_heads: num_attention_heads). Empty
// if none is near; ties go to the first.
std::string nearest_word(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace gptmoe
