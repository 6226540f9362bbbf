#pragma once
// Where a long text may be cut into pieces that are encoded separately.
#include <cstddef>
#include <string_view>

namespace gptmoe {

// Whether a piece of a .txt may end just before `text`, given that a letter or a number precedes `text`. It may if
// `text` begins with a space, a newline, an ideographic full stop or a fullwidth comma. (Chinese text may have no white
// space for many pages.)
inline bool begins_cut(std::string_view text) {
  return text.starts_with(' ') || text.starts_with('\n') || text.starts_with("\u3002") || text.starts_with("\uFF0C");
}
constexpr size_t kCutBytes = 3;  // begins_cut() looks at no more bytes than this

}  // namespace gptmoe
