#include "base/printable.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/json.h"
#include "base/out_of_memory.h"

namespace gptmoe {
namespace {

TEST(Printable, EscapesControlCharacters) {
  EXPECT_EQ(printable("a\x1b[31mb"), "a\\x1b[31mb");
  EXPECT_EQ(printable("one\ntwo\r\t\x7f"), "one\\ntwo\\x0d\\x09\\x7f");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("\xC2\x9B"
                      "31m"),
            "\\x9b31m")
      << "the one-character form of ESC [";
}

TEST(Printable, KeepsOtherCharacters) {
  const std::string text = "naïve \"quotes\" \\ 東京 …";
  EXPECT_EQ(printable(text), text);
  EXPECT_EQ(printable("\xC2"), "\xC2") << "cut UTF-8";
}

template <typename Action>
std::string message_from(Action action) {
  try {
    action();
  } catch (const std::exception& error) {
    return message_of(error);
  }
  return "nothing was thrown";
}

TEST(Printable, ErrorsOfLibrariesAreInPlainWords) {
  EXPECT_EQ(message_from([] { (void)std::filesystem::canonical("/nowhere/x"); }),
            "/nowhere/x: No such file or directory");
  EXPECT_EQ(message_from([] { throw std::bad_alloc(); }), kNoMemory);
  EXPECT_EQ(message_from([] { (void)nlohmann::json("\xFF").dump(); }).substr(0, 18), "invalid UTF-8 byte");
  EXPECT_EQ(message_from([] { throw std::runtime_error("as it is"); }), "as it is");
}

TEST(Printable, AMessageKeepsItsTable) {
  EXPECT_EQ(printable_message("too large\n  weights  3\n  rest  4"), "too large\n  weights  3\n  rest  4");
  EXPECT_EQ(printable_message("key \"a\ngptmoe: done\""), "key \"a\\ngptmoe: done\"");
}

}  // namespace
}  // namespace gptmoe
