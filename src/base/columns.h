#pragma once
// The width of UTF-8 text in terminal columns.
#include <string>

namespace gptmoe {

// The number of code points in the text, which is its width if each character takes one column.
size_t columns_of(const std::string& text);
// The text, truncated to at most `columns` code points. If text was removed, the last code point is "…".
std::string shortened(const std::string& text, size_t columns);

}  // namespace gptmoe
