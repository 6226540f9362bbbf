#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace gptmoe {

// Turns the bytes of newly generated tokens into text to show. The text ends before a stop string, which may span
// tokens. It is always valid UTF-8: bytes that are not part of a character become U+FFFD.
class TextStream {
 public:
  // No stop string may be empty.
  explicit TextStream(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // Adds a token's bytes. Returns true if the text now holds a stop string. The text ends before the stop string that
  // is complete first; if several are complete at the same byte, before the longest. After that, no more tokens may be
  // added.
  bool add(std::string_view bytes);
  // The text that was added since the last call, except for a tail that may still turn out to be part of a character or
  // of a stop string.
  std::string take();
  // The rest of the text, when no token follows.
  std::string take_rest();

 private:
  size_t first_held_back() const;
  std::string take_up_to(size_t end);

  std::vector<std::string> stops_;
  std::string bytes_;  // of all tokens, up to the stop string
  size_t taken_ = 0;
};

}  // namespace gptmoe
