#pragma once
// The width of UTF-8 text in terminal columns.
#include <string>

namespace gptmoe {

// The number of code points in the text: its width if each character takes one column, as in everything printed here.
size_t columns_of(const std::string& text);
// The text, cut to at most `columns` code points. The last one is "…" if something was cut.
std::string shortened(const std::string& text, size_t columns);

}  // namespace gptmoe
