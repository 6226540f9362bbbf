#pragma once
#include <string>
#include <vector>

namespace gptmoe {

// The member of `candidates` nearest to `word`. That is the one with the least edit distance (insert, delete, replace,
// swap neighbours; case ignored), if this distance is at most max(2, a third of the word's length). Otherwise it is a
// candidate that contains `word`, or one that `word` contains; other words may come in between, so num_attention_heads
// contains num_heads. Empty if no candidate is near. Ties go to the first candidate.
std::string nearest_word(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace gptmoe
