#pragma once
#include <string>

namespace gptmoe {

// &, <, >, ", ' as entities: safe as text and inside quoted attributes.
std::string escape(const std::string& text);
// A coordinate or size with at most one decimal: "12", "12.5".
std::string coordinate(double value);
// The width text of this many code points takes at a font size, for an ordinary sans-serif; slightly generous.
double text_width(const std::string& text, double font_size);
// Code points of UTF-8 text: its columns on a terminal for the characters the reports use.
size_t columns_of(const std::string& text);
// At most `columns` code points, the last one "…" where something was cut.
std::string shortened(const std::string& text, size_t columns);

}  // namespace gptmoe
