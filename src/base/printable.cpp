#include "base/printable.h"

#include <cstdio>
#include <filesystem>
#include <new>

#include "base/out_of_memory.h"

namespace gptmoe {
namespace {

constexpr std::string_view kIndent = "  ";

std::string escape(unsigned control) {
  if (control == '\n') return "\\n";
  char out[8];
  std::snprintf(out, sizeof out, "\\x%02x", control);
  return out;
}

std::string escaped(std::string_view text, bool keep_tables) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : '\0');
    const bool c1 = byte == 0xC2 && next >= 0x80 && next < 0xA0;  // U+0080 to U+009F in UTF-8
    if (byte == '\n' && keep_tables && text.substr(i + 1).starts_with(kIndent))
      out += '\n';
    else if (byte < 0x20 || byte == 0x7F || c1)
      out += escape(c1 ? next : byte);
    else
      out += text[i];
    i += c1;
  }
  return out;
}

}  // namespace

std::string message_of(const std::exception& error) {
  if (const auto* system = dynamic_cast<const std::filesystem::filesystem_error*>(&error)) {
    const std::string path = (system->path2().empty() ? system->path1() : system->path2()).string();
    return (path.empty() ? "the current folder" : path) + ": " + system->code().message();
  }
  if (dynamic_cast<const std::bad_alloc*>(&error)) return kNoMemory;
  const std::string_view what = error.what();
  const size_t prefix = what.starts_with("[json.exception.") ? what.find("] ") : std::string_view::npos;
  return std::string(prefix == std::string_view::npos ? what : what.substr(prefix + 2));
}

std::string printable(std::string_view text) { return escaped(text, false); }
std::string printable_message(std::string_view text) { return escaped(text, true); }

}  // namespace gptmoe
