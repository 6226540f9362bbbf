#pragma once
#include <string>

#include "base/columns.h"

namespace gptmoe {

// &, <, >, ", ' as entities: safe as text and inside quoted attributes.
std::string escape(const std::string& text);
// <tag class="css_class">content</tag>; content is markup already.
std::string element(const std::string& tag, const std::string& content, const std::string& css_class = "");
// A heading (h2 or h3, escaped) with the caption below it, which is markup and may be empty. In print, both stay on the
// same page as what follows.
std::string heading(const std::string& tag, const std::string& title, const std::string& caption = "");
// A table of these rows (markup). If it is wider than the page, it scrolls sideways in its own box. The head is
// repeated on every printed page; it may be empty.
std::string table_in_box(const std::string& head, const std::string& body, const std::string& css_class = "");
// A picture under its title, which is escaped; an empty title is left out.
std::string figure(const std::string& title, const std::string& svg);
// A coordinate or size with at most one decimal: "12", "12.5".
std::string coordinate(double value);
constexpr double kFont = 12;  // pixels: the size of text in charts
// The width of `text` in pixels at a font size, for an ordinary sans-serif font; slightly generous.
double text_width(const std::string& text, double font_size);

}  // namespace gptmoe
