#include "tokenizer/nfc.h"

#include "base/json.h"
#include "base/rng.h"
#include "support/error_line.h"
#include "support/test_folders.h"
#include "tokenizer/utf8.h"

namespace gptmoe {
namespace {

using nlohmann::json;

json golden() { return json::parse(read_text_file(source_folder() + "/tests/tokenizer/golden/nfc.json")); }

TEST(NfcTest, AgreesWithTheReference) {
  const json file = golden();
  for (const json& pair : file["texts"]) {
    const std::string text = pair[0], expected = pair[1];
    EXPECT_EQ(to_nfc(text), expected) << pair.dump(-1, ' ', true);
    EXPECT_EQ(to_nfc(expected), expected) << pair.dump(-1, ' ', true);
    if (is_surely_nfc(text)) {
      EXPECT_EQ(text, expected);
    }
  }
}

TEST(NfcTest, EveryCodePoint) {
  const json file = golden();
  for (const json& item : file["every"]) {
    const std::string prefix = item["prefix"], suffix = item["suffix"];
    uint64_t hash = hash_bytes("");
    for (uint32_t point = 0; point <= 0x10FFFF; ++point) {
      if (point >= 0xD800 && point <= 0xDFFF) continue;
      std::string text = prefix;
      append_utf8(text, point);
      text += suffix;
      const std::string normal = to_nfc(text);
      ASSERT_TRUE(!is_surely_nfc(text) || normal == text) << std::hex << point;
      hash = hash_bytes(normal, hash);
    }
    char hex[17];
    std::snprintf(hex, sizeof hex, "%016llx", static_cast<unsigned long long>(hash));
    EXPECT_EQ(hex, item["hash"].get<std::string>()) << item.dump(-1, ' ', true);
  }
}

TEST(NfcTest, TheQuickCheckAcceptsCommonText) {
  for (const char* text :
       {"", "abc\n", "Größe, façade — “naïve”…", "Пшеница й ё", "小麦粉を数える。", "القمح", "한국어", "नमस्ते", "😀"})
    EXPECT_TRUE(is_surely_nfc(text)) << text;
  const std::string long_text(1000, 'x');
  EXPECT_TRUE(is_surely_nfc(long_text));
  EXPECT_FALSE(is_surely_nfc(long_text + "\u0301"));
  EXPECT_FALSE(is_surely_nfc("e\u0323\u0301"));
  EXPECT_FALSE(is_surely_nfc("x\u0315\u0334z"));  // the combining classes fall: 232, then 1
}

TEST(NfcTest, MalformedBytesStayAndComposeWithNothing) {
  EXPECT_EQ(to_nfc("\xFF"
                   "e\u0301\xC3"),
            "\xFF\u00E9\xC3");
  EXPECT_EQ(to_nfc("e\xFF\u0301"), "e\xFF\u0301");
  EXPECT_EQ(to_nfc("e\x80\u0301"), "e\x80\u0301");
  EXPECT_EQ(to_nfc("\xC3\u0301"), "\xC3\u0301");
  EXPECT_EQ(to_nfc("e\xCC"), "e\xCC");  // half of a combining acute accent
  EXPECT_EQ(to_nfc("\u0323\xED\xA0\x80\u0301\u0323"), "\u0323\xED\xA0\x80\u0323\u0301");
  EXPECT_TRUE(is_surely_nfc("\u0315\xFF\u0334"));  // the marks are not adjacent
}

TEST(NfcTest, LongRunsOfMarks) {
  std::string text = "e", expected = "\u1EB9";  // e with a dot below
  for (int i = 0; i < 100000; ++i) text += "\u0301\u0323";
  for (int i = 1; i < 100000; ++i) expected += "\u0323";
  for (int i = 0; i < 100000; ++i) expected += "\u0301";
  EXPECT_EQ(to_nfc(text), expected);
}

}  // namespace
}  // namespace gptmoe
