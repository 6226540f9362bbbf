#include "report/markup.h"

#include <algorithm>
#include <cstdio>

#include "base/check.h"

namespace gptmoe {
namespace {

bool starts_code_point(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

}  // namespace

std::string escape(const std::string& text) {
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string coordinate(double value) {
  char out[400];
  std::snprintf(out, sizeof out, "%.1f", value);
  std::string digits = out;
  if (digits.ends_with(".0")) digits.resize(digits.size() - 2);
  return digits == "-0" ? "0" : digits;
}

double text_width(const std::string& text, double font_size) {
  return 0.58 * font_size * static_cast<double>(columns_of(text));
}

size_t columns_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), starts_code_point));
}

std::string shortened(const std::string& text, size_t columns) {
  if (columns_of(text) <= columns) return text;
  std::string out;
  size_t taken = 0;
  for (char c : text) {
    if (starts_code_point(c) && ++taken == columns) break;
    out += c;
  }
  return out + "…";
}

std::string element(const std::string& tag, const std::string& content, const std::string& css_class) {
  return text("<", tag, css_class.empty() ? "" : " class=\"" + css_class + "\"", ">", content, "</", tag, ">\n");
}

std::string figure(const std::string& title, const std::string& svg) {
  return element("figure", (title.empty() ? "" : element("h3", escape(title))) + svg);
}

}  // namespace gptmoe
