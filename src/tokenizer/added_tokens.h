#pragma once
// Tokens that match their own text wherever it occurs.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gptmoe {

class AddedTokens {
 public:
  void add(std::string text, int32_t id);
  bool empty() const { return empty_; }

  struct Match {
    size_t at, bytes;
    int32_t id;
  };
  // The leftmost match in text[from..), and the longest of several that start there; {text.size(), 0, -1} if none.
  Match find(std::string_view text, size_t from) const;

  // Whether the text of some added token contains a place where a long text may be cut into pieces (text_cuts.h).
  bool spans_cuts() const { return spans_cuts_; }

 private:
  std::array<std::vector<std::pair<std::string, int32_t>>, 256> by_first_byte_;  // longest first
  bool empty_ = true, spans_cuts_ = false;
};

}  // namespace gptmoe
