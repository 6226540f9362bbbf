#include "inference/text_stream.h"

#include <gtest/gtest.h>

#include "tokenizer/utf8.h"

namespace gptmoe::testing {
namespace {

using Parts = std::vector<std::string>;

// What a stream shows of these tokens, token by token and then at the end. `stopped`: the number of tokens until it
// stopped.
Parts shown(const Parts& stops, const Parts& tokens, size_t* stopped = nullptr) {
  TextStream stream(stops);
  Parts parts;
  size_t taken = 0;
  for (const std::string& token : tokens) {
    ++taken;
    if (stream.add(token)) break;
    parts.push_back(stream.take());
  }
  parts.push_back(stream.take_rest());
  if (stopped) *stopped = taken;
  return parts;
}

std::string joined(const Parts& parts) {
  std::string text;
  for (const std::string& part : parts) text += part;
  return text;
}

TEST(TextStream, ShowsTokensAsTheyCome) { EXPECT_EQ(shown({}, {"In", " the", ""}), (Parts{"In", " the", "", ""})); }

TEST(TextStream, EndsBeforeAStopString) {
  size_t taken = 0;
  EXPECT_EQ(shown({"END"}, {"a ", "bENDc", "d"}, &taken), (Parts{"a ", "b"}));
  EXPECT_EQ(taken, 2u);
  EXPECT_EQ(shown({"a"}, {"abc"}), (Parts{""}));
}

TEST(TextStream, HoldsBackWhatMayBecomeAStopString) {
  size_t taken = 0;
  EXPECT_EQ(shown({"\n\nQ:"}, {"yes", "\n", "\n", "Q", ":", " next"}, &taken), (Parts{"yes", "", "", "", ""}));
  EXPECT_EQ(taken, 5u);
  EXPECT_EQ(shown({"\n\nQ:"}, {"yes\n", "\n", "\nQ", " no"}), (Parts{"yes", "", "\n", "\n\nQ no", ""}));
  EXPECT_EQ(shown({"STOP"}, {"one ST"}), (Parts{"one ", "ST"})) << "the text may end with a part of the stop string";
}

// Each repetition is a new beginning of the stop string.
TEST(TextStream, FindsStopStringsThatRepeatThemselves) {
  EXPECT_EQ(shown({"aab"}, {"a", "a", "a", "b"}), (Parts{"", "", "a", ""}));
  EXPECT_EQ(shown({"abab"}, {"aba", "aba", "b"}), (Parts{"", "aba", ""}));
}

// However the text is cut into tokens, it ends at the same place.
TEST(TextStream, StopsAtTheStringThatIsCompleteFirst) {
  const std::string text = "xxabcyyy";
  for (const auto& [stops, expected] : std::vector<std::pair<Parts, std::string>>{
           {{"abc", "b"}, "xxa"}, {{"bc", "abc"}, "xx"}, {{"yy", "abcy"}, "xx"}, {{"yyyy", "q"}, text}}) {
    for (size_t cut = 1; cut <= text.size(); ++cut) {
      Parts tokens;
      for (size_t at = 0; at < text.size(); at += cut) tokens.push_back(text.substr(at, cut));
      EXPECT_EQ(joined(shown(stops, tokens)), expected) << cut;
    }
  }
}

TEST(TextStream, ShowsWholeCharactersOnly) {
  EXPECT_EQ(shown({}, {"\xE2", "\x82", "\xAC!"}), (Parts{"", "", "€!", ""}));
  EXPECT_EQ(shown({}, {"a\xF0\x9F", "\x98\x80"}), (Parts{"a", "\xF0\x9F\x98\x80", ""}));
  EXPECT_EQ(shown({"€€"}, {"€\xE2", "\x82", "\xAC"}), (Parts{"", "", ""}));
  EXPECT_EQ(shown({"€€"}, {"€\xE2", "\x82", "x"}), (Parts{"", "", "€\uFFFD\uFFFDx", ""}));
}

TEST(TextStream, ReplacesBytesThatAreNoCharacter) {
  EXPECT_EQ(shown({}, {"a\xE2\x82"}), (Parts{"a", "\uFFFD\uFFFD"})) << "cut by the end of the text";
  EXPECT_EQ(shown({}, {"\xE2", "z"}), (Parts{"", "\uFFFDz", ""}));
  EXPECT_EQ(shown({}, {"\x80\xFF", "\xC0"}), (Parts{"\uFFFD\uFFFD", "\uFFFD", ""}));
  EXPECT_EQ(shown({"\xA9!"}, {"é", "!"}), (Parts{"", "\uFFFD"})) << "a stop string inside a character";
}

TEST(TextStream, IsValidUtf8WhateverTheBytes) {
  uint32_t state = 1;
  for (int trial = 0; trial < 200; ++trial) {
    Parts tokens;
    for (int i = 0; i < 12; ++i) {
      state = state * 1664525 + 1013904223;
      static constexpr const char* kPieces[] = {"\xE2", "\x82", "\xAC", "a", "\xF0\x9F", "\x98", "\xED\xA0", "\xC3"};
      tokens.push_back(kPieces[state >> 29]);
    }
    std::string bytes;
    for (const std::string& token : tokens) bytes += token;
    const Parts parts = shown({"\xAC\x61", "aa"}, tokens);
    for (const std::string& part : parts) EXPECT_EQ(find_malformed(part), std::string::npos);
    EXPECT_EQ(joined(shown({}, tokens)), replace_malformed(bytes));
  }
}

}  // namespace
}  // namespace gptmoe::testing
