// tools/text_documents.sh and tools/prepare_text.sh on texts from every system.
#include "base/lock.h"
#include "support/error_line.h"
#include "support/process.h"
#include "support/test_folders.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

class TextScripts : public ::testing::Test {
 protected:
  // 60 paragraphs of about 600 bytes. Each line ends with `end`. The blank lines between paragraphs consist of `blank`,
  // which is white space or empty, and `end`.
  static std::string paragraphs(const std::string& end, const std::string& blank = "") {
    std::string text;
    for (int i = 0; i < 60; ++i) {
      if (i > 0) text += blank + end;
      for (int line = 0; line < 12; ++line)
        text +=
            "Paragraph " + std::to_string(i) + ", line " + std::to_string(line) + ": \"caf\xC3\xA9\" \\ \t end." + end;
    }
    return text;
  }
  std::string documents_of(const std::string& text) {
    write_text_file(folder_ / "in.txt", text);
    const auto result =
        testing::run(folder_.path(), {"/bin/sh", "-c", source_folder() + "/tools/text_documents.sh <in.txt"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  }
  testing::ProcessResult prepare(const std::string& text, const std::string& out) {
    write_text_file(folder_ / "book.txt", text);
    return prepare_file("book.txt", out);
  }
  testing::ProcessResult prepare_file(const std::string& name, const std::string& out, const std::string& val = "") {
    return testing::run(folder_.path(), {source_folder() + "/tools/prepare_text.sh", "--out", out, "--text", name,
                                         "--val", val, "--vocab-size", "300"});
  }

  TemporaryFolder folder_;
};

TEST_F(TextScripts, EveryLineEndingGivesTheSameDocuments) {
  const std::string expected = documents_of(paragraphs("\n"));
  EXPECT_EQ(std::count(expected.begin(), expected.end(), '\n'), 7);
  expect_contains(expected, R"({"text":"Paragraph 0, line 0: \"café\" \\ \t end.\nParagraph 0, line 1: )");
  for (const char* end : {"\n", "\r\n", "\r\r\n", "\r"})
    for (const char* blank : {"", " ", "\t", " \t\f "})
      EXPECT_EQ(documents_of(paragraphs(end, blank)), expected)
          << ::testing::PrintToString(end) << ::testing::PrintToString(blank);
  EXPECT_EQ(documents_of("\xEF\xBB\xBF" + paragraphs("\r\n")), expected);
}

TEST_F(TextScripts, TwoPreparationsDoNotMix) {
  if (!fs::exists(source_folder() + "/build/gptmoe-tokenize")) GTEST_SKIP() << "the script uses build/gptmoe-tokenize";
  fs::create_directory(folder_ / "book.tmp");
  write_text_file(folder_ / "book.tmp/tokenizer.json", "of the other preparation");
  {
    const OutputLock other(folder_ / "book", "");
    const auto refused = prepare(paragraphs("\n"), "book");
    EXPECT_EQ(refused.exit_code, 2);
    EXPECT_EQ(refused.err, "book: another process is preparing text there; wait for it or choose another --out\n");
    EXPECT_EQ(read_text_file(folder_ / "book.tmp/tokenizer.json"), "of the other preparation");
  }
  write_text_file(folder_ / "book.gptmoe-lock", "left by a killed preparation");
  EXPECT_EQ(prepare(paragraphs("\n"), "book").exit_code, 0);
  EXPECT_FALSE(fs::exists(folder_ / "book.gptmoe-lock"));
}

TEST_F(TextScripts, PrepareTextSplitsThemAndNeverAdvisesAnOptionThatItLacks) {
  if (!fs::exists(source_folder() + "/build/gptmoe-tokenize")) GTEST_SKIP() << "the script uses build/gptmoe-tokenize";
  std::string book;
  for (int i = 0; i < 12; ++i) book += paragraphs("\r\n", " ") + "\r\n";
  const auto prepared = prepare(book, "book");
  EXPECT_EQ(prepared.exit_code, 0) << prepared.err;
  for (const char* file : {"tokenizer.json", "train_000000.bin", "val_000000.bin"})
    EXPECT_TRUE(fs::exists(folder_ / "book" / file)) << file;
  EXPECT_FALSE(fs::exists(folder_ / "book/errors"));
  write_text_file(folder_ / "val.txt", "Held out.\n");
  const auto given = prepare_file("book.txt", "with_val", "val.txt");
  EXPECT_EQ(given.exit_code, 0) << given.err;
  expect_contains(read_text_file(folder_ / "with_val/manifest.json"), "\"file\": \"val_000000.bin\"");

  const auto small = prepare("One line.\n", "small");
  EXPECT_EQ(small.exit_code, 2);
  EXPECT_EQ(small.err,
            "book.txt: too few documents to hold out a twentieth for validation; give a longer text, or text "
            "for validation with --val\n");
}

TEST_F(TextScripts, PrepareTextReadsTheFieldOfEveryNameOfJsonLines) {
  if (!fs::exists(source_folder() + "/build/gptmoe-tokenize")) GTEST_SKIP() << "the script uses build/gptmoe-tokenize";
  std::string lines;
  for (int i = 0; i < 200; ++i) lines += text("{\"text\":\"number ", i, "\"}\n");
  for (const std::string ending : {"jsonl", "ndjson", "json"}) {
    write_text_file(folder_ / ("x." + ending), lines);
    const auto prepared = prepare_file("x." + ending, ending);
    EXPECT_EQ(prepared.exit_code, 0) << prepared.err;
    expect_contains(read_text_file(folder_ / ending / "manifest.json"), "\"bytes\": ");
    EXPECT_EQ(read_text_file(folder_ / ending / "tokenizer.json"), read_text_file(folder_ / "jsonl/tokenizer.json"));
  }
}

TEST_F(TextScripts, PrepareTextRefusesNamesThatAreNotText) {
  for (const char* name : {"x.parquet", "x.FEATHER", "x.csv", "x.tar.gz", "x.bz2"}) {
    write_text_file(folder_ / name, "PAR1");
    const auto refused = prepare_file(name, "out");
    EXPECT_EQ(refused.exit_code, 2) << name;
    EXPECT_EQ(std::count(refused.err.begin(), refused.err.end(), '\n'), 1) << refused.err;
    expect_contains(refused.err, text(name, ": "));
    EXPECT_FALSE(fs::exists(folder_ / "out.tmp"));
  }
}

}  // namespace
}  // namespace gptmoe
