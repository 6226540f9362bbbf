#include "report/markup.h"

#include <cstdio>

#include "base/check.h"

namespace gptmoe {

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

std::string element(const std::string& tag, const std::string& content, const std::string& css_class) {
  return text("<", tag, css_class.empty() ? "" : " class=\"" + css_class + "\"", ">", content, "</", tag, ">\n");
}

std::string heading(const std::string& tag, const std::string& title, const std::string& caption) {
  return element("div", element(tag, escape(title)) + (caption.empty() ? "" : element("p", caption, "caption")),
                 "head");
}

std::string table_in_box(const std::string& head, const std::string& body, const std::string& css_class) {
  const std::string rows = (head.empty() ? "" : element("thead", head)) + element("tbody", body);
  return element("div", element("table", rows, css_class), "scroll");
}

std::string figure(const std::string& title, const std::string& svg) {
  return element("figure", (title.empty() ? "" : element("h3", escape(title))) + svg);
}

}  // namespace gptmoe
