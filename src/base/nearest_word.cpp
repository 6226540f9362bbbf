#include "base/nearest_word.h"

#include <algorithm>
#include <cctype>
#include <sstream>

namespace gptmoe {
namespace {

std::string lower(std::string word) {
  std::transform(word.begin(), word.end(), word.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return word;
}

// Damerau-Levenshtein distance in its optimal-string-alignment form: a swapped pair is not edited again.
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<size_t>> cost(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[a.size()][b.size()];
}

// Whether `whole` contains `part`, perhaps with other words in between: num_heads in num_attention_heads.
bool contained(const std::string& part, const std::string& whole) {
  constexpr size_t kShortest = 3;  // nearly every name contains shorter parts
  if (part.size() < kShortest) return false;
  if (whole.find(part) != std::string::npos) return true;
  std::istringstream part_words(part), whole_words(whole);
  std::string wanted, word;
  while (std::getline(part_words, wanted, '_')) {
    do {
      if (!std::getline(whole_words, word, '_')) return false;
    } while (word != wanted);
  }
  return true;
}

}  // namespace

std::string nearest_word(const std::string& word, const std::vector<std::string>& candidates) {
  const std::string asked = lower(word);
  const size_t limit = std::max<size_t>(2, asked.size() / 3);
  size_t near_distance = limit + 1, holder_distance = std::string::npos;
  std::string near, holder;
  for (const std::string& candidate : candidates) {
    const std::string known = lower(candidate);
    const size_t distance = edit_distance(asked, known);
    // With as many edits as letters, any word becomes any other.
    if (distance < near_distance && distance < std::min(asked.size(), known.size())) {
      near_distance = distance;
      near = candidate;
    }
    if (distance < holder_distance && (contained(asked, known) || contained(known, asked))) {
      holder_distance = distance;
      holder = candidate;
    }
  }
  return near.empty() ? holder : near;
}

}  // namespace gptmoe
