#pragma once
#include <string>
#include <vector>

namespace gptmoe {

inline size_t occurrences(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// The page without what is between <script ...> and </script>, which is not markup.
inline std::string without_scripts(std::string page) {
  for (size_t at = page.find("<script"); at != std::string::npos; at = page.find("<script", at + 1)) {
    const size_t begin = page.find('>', at) + 1;
    page.erase(begin, page.find("</script>", begin) - begin);
  }
  return page;
}

// Returns the first HTML or SVG tag without a matching partner, or "". In text, < and > must be escaped.
inline std::string unbalanced_tag(const std::string& page) {
  const std::string markup = without_scripts(page);
  std::vector<std::string> open;
  for (size_t at = markup.find('<'); at != std::string::npos; at = markup.find('<', at + 1)) {
    const size_t end = markup.find('>', at);
    if (end == std::string::npos) return markup.substr(at);
    const std::string tag = markup.substr(at + 1, end - at - 1), name = tag.substr(0, tag.find_first_of(" /\n", 1));
    if (tag.find('<') != std::string::npos) return tag;
    if (tag.back() == '/' || name == "!doctype" || name == "meta") continue;
    if (tag[0] != '/') {
      open.push_back(name);
    } else {
      if (open.empty() || "/" + open.back() != tag) return tag;
      open.pop_back();
    }
  }
  return open.empty() ? "" : open.back();
}

}  // namespace gptmoe
