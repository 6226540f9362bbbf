#pragma once
// Text files with one entry per line.
#include <filesystem>
#include <string_view>

#include "base/check.h"
#include "base/file.h"
#include "tokenizer/unsupported_tokenizer.h"

namespace gptmoe {

// Calls visit(line, number) for every line, without its "\n" or "\r\n"; the first has number 1. If `visit` throws a
// UserError, puts the file and the line in front of its message.
template <typename Visit>
void for_each_line(const std::filesystem::path& path, Visit visit) {
  const std::string content = read_text_file(path);
  std::string_view rest = content;
  for (int64_t number = 1; !rest.empty(); ++number) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    try {
      visit(line, number);
    } catch (const UnsupportedTokenizer& error) {
      throw UnsupportedTokenizer(text(path.string(), ": line ", number, ": ", error.what()));
    } catch (const UserError& error) {
      user_error(path.string(), ": line ", number, ": ", error.what());
    }
  }
}

}  // namespace gptmoe
