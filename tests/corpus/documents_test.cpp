// Reading batches from files. tests/corpus/document_parser_test.cpp tests how their lines are parsed.
#include "corpus/documents.h"

#include "base/rng.h"
#include "corpus/documents_fixture.h"

namespace gptmoe {
namespace {

TEST_F(DocumentsTest, TextIsOneDocumentByteForByte) {
  const std::string content = "one\r\ntwo\n\rthree\xEF\xBB\xBF\n\xFF\n";
  for (const std::string& path : {write("a.txt", content), write("b.txt.gz", gzip_of(content)),
                                  write("c.txt.zst", zstd_of("one") + zstd_of(content.substr(3)))})
    EXPECT_EQ(read(path).documents, Texts{content}) << path;
}

TEST_F(DocumentsTest, AByteOrderMarkIsNoPartOfAText) {
  const std::string mark = "\xEF\xBB\xBF", text = random_text(20'000);
  hashes = true;
  for (const int64_t batch_bytes : {1, 100, 1 << 20}) {
    const Reading plain = read(write("a.txt", text), batch_bytes);
    for (const std::string& path : {write("b.txt", mark + text), write("c.txt.gz", gzip_of(mark) + gzip_of(text))}) {
      const Reading marked = read(path, batch_bytes);
      EXPECT_TRUE(marked.documents == Texts{text}) << path << " " << batch_bytes;
      EXPECT_EQ(marked.hashes, plain.hashes);
    }
  }
  EXPECT_EQ(read(write("d.txt", mark)).documents, Texts{});
  const StandardInputFrom input(write("e.txt", mark + "one"));
  DocumentReader reader({.paths = {"-"}});
  Reading standard_input;
  read_on(reader, standard_input);
  EXPECT_EQ(standard_input.documents, Texts{"one"});
}

TEST_F(DocumentsTest, JsonLinesAreTheSameInEveryPackingAndBatchSize) {
  const Texts texts = some_texts(300, 700);
  const std::string lines = lines_of(texts), unended = lines.substr(0, lines.size() - 1);
  for (const std::string& path :
       {write("a.jsonl", lines), write("b.jsonl", unended), write("c.jsonl.gz", gzip_of(lines)),
        write("d.jsonl.gz", gzip_of(lines.substr(0, 1000)) + gzip_of(lines.substr(1000))),
        write("e.jsonl.zst", zstd_of(unended))}) {
    for (const int64_t batch_bytes : {1, 2, 100, 777, 5000, 1 << 20}) {
      const Reading all = read(path, batch_bytes);
      EXPECT_EQ(all.documents, texts) << path << " " << batch_bytes << " " << all.error;
      EXPECT_EQ(all.ends.size() > 1, batch_bytes <= 5000);
      EXPECT_EQ(all.ends.back().file, 1);
    }
  }
}

TEST_F(DocumentsTest, ReadsInputsInOrderAndNothingFromEmptyOnes) {
  write("f/b.txt", "2");
  write("f/a/z.txt", "1");
  write("f/c.jsonl", "\xEF\xBB\xBF{\"text\": \"3\"}\r\n\r\n{\"text\": \"\"}");
  write("f/notes.md", "no");
  write("f/d.txt", "");
  write("f/e.jsonl", "");
  write("f/g.jsonl", "\n \n");
  write("f/h.txt.gz", gzip_of(""));
  const TextInput input{.paths = {at("f"), write("x.txt", "4")}};
  EXPECT_EQ(read(input).documents, (Texts{"1", "2", "3", "4"}));
  const DocumentReader reader(input);
  EXPECT_EQ(reader.files().size(), 8u);
  EXPECT_EQ(reader.files_unread().first, Texts{at("f/notes.md")});
  EXPECT_EQ(reader.bytes_total(), 1 + 1 + 32 + 3 + std::ssize(gzip_of("")) + 1);
  EXPECT_EQ(read(at("f/d.txt")).documents, Texts{});
}

TEST_F(DocumentsTest, JsonLinesMayBeNamedJson) {
  const std::string lines = lines_of({"one", "two"});
  write("f/a.json", lines);
  write("f/b.json.gz", gzip_of(lines));
  write("f/c.json.zst", zstd_of(lines));
  write("f/d.ndjson", lines);
  EXPECT_EQ(read(at("f")).documents, (Texts{"one", "two", "one", "two", "one", "two", "one", "two"}));
  expect_contains(read(write("e.json", "[\n  {\"text\": \"one\"}\n]\n")).error,
                  at("e.json") + ": line 1: the JSON value does not end on its line; each line must hold one JSON");
}

TEST_F(DocumentsTest, LongTextsComeInPieces) {
  std::string text = random_text(300'000);
  text += "caf\xC3\xA9 x\xFF y";
  for (const std::string& path :
       {write("a.txt", text), write("b.txt.gz", gzip_of(text)), write("c.txt.zst", zstd_of(text))}) {
    hashes = true;
    for (const int64_t batch_bytes : {1, 100, 4096, 65536}) {
      const Reading pieces = read(path, batch_bytes);
      EXPECT_TRUE(pieces.documents == Texts{text}) << path << " " << batch_bytes;
      EXPECT_GE(std::ssize(pieces.ends), std::max<int64_t>(2, std::ssize(text) / (batch_bytes + 1000)));
      EXPECT_EQ(pieces.hashes, std::vector<std::optional<uint64_t>>{hash_bytes(text)});
      for (size_t i = 0; i + 1 < pieces.ends.size(); ++i) {
        const auto cut = static_cast<size_t>(pieces.ends[i].byte);
        EXPECT_TRUE(text[cut] == ' ' || text[cut] == '\n');
        EXPECT_TRUE(std::isalnum(static_cast<unsigned char>(text[cut - 1])) || text[cut - 1] == '\xA9') << cut;
      }
    }
    EXPECT_EQ(read(path).hashes, std::vector<std::optional<uint64_t>>{std::nullopt}) << "the document is one piece";
    hashes = false;
    EXPECT_EQ(read(path, 4096).hashes, std::vector<std::optional<uint64_t>>{std::nullopt})
        << "no hashes were requested";
  }
}

TEST_F(DocumentsTest, PiecesEndAfterLettersOfAnyScript) {
  std::string text;
  for (int i = 0; i < 200; ++i) text += "\xE6\x96\x87\xE5\xAD\x97\xE3\x80\x81\n";  // two ideographs, one comma
  text += "\xE6\x96\x87\n\xE3\x80\x81\xE6\x96\x87";
  const int64_t cut = std::ssize(text);
  for (int i = 0; i < 2000; ++i) text += " \xE3\x80\x81\n";
  write("a.txt", text);
  const Reading pieces = read(at("a.txt"), 10);
  EXPECT_TRUE(pieces.documents == Texts{text});
  ASSERT_EQ(pieces.ends.size(), 2u) << "at the last space that follows a letter";
  EXPECT_EQ(pieces.ends[0].byte, cut);
}

TEST_F(DocumentsTest, PiecesOfChineseTextEndBeforePunctuation) {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += i % 7 ? "\u6587\u5B57\u3002\n" : "\u6587\u5B57\uFF0C\uFF0C\u3002\n";
  write("a.txt", text);
  for (const int64_t batch_bytes : {1, 4096, 4097, 4098, 9999}) {
    const Reading pieces = read(TextInput{.paths = {at("a.txt")}, .max_line_bytes = 20}, batch_bytes);
    EXPECT_EQ(pieces.error, "");
    EXPECT_TRUE(pieces.documents == Texts{text});
    EXPECT_GT(pieces.ends.size(), 2u);
    for (size_t i = 0; i + 1 < pieces.ends.size(); ++i) {
      const std::string_view rest = std::string_view(text).substr(static_cast<size_t>(pieces.ends[i].byte));
      EXPECT_TRUE(rest.starts_with("\u3002") || rest.starts_with("\uFF0C"));
    }
  }
}

// NFC splits the letter U+0958 into a letter and a mark, and a mark forms one word with a newline or full stop after
// it.
TEST_F(DocumentsTest, PiecesDoNotEndAfterLettersThatNfcDecomposes) {
  std::string text = "one two";
  const int64_t cut = 3;
  while (text.size() < 5000) text += "\u0958\n\u0958\u3002";
  write("a.txt", text);
  const Reading pieces = read(at("a.txt"), 10);
  EXPECT_TRUE(pieces.documents == Texts{text});
  ASSERT_EQ(pieces.ends.size(), 2u);
  EXPECT_EQ(pieces.ends[0].byte, cut);
}

TEST_F(DocumentsTest, SeekingGivesTheRemainingDocuments) {
  const Texts texts = some_texts(40, 300);
  const std::string lines = lines_of(texts), text = random_text(3000), half = lines.substr(0, lines.size() / 2);
  write("a.jsonl", lines);
  write("b.txt", text);
  write("c.jsonl.gz", gzip_of(half) + gzip_of(lines.substr(half.size())));
  write("d.txt", "");
  write("e.txt.zst", zstd_of(text));
  write("f.jsonl.zst", zstd_of(lines));
  write("g.txt.gz", gzip_of(text));
  write("h.jsonl", lines.substr(0, lines.size() - 1));
  hashes = true;
  for (const int64_t batch_bytes : {1, 500, 2000, 100'000}) {
    DocumentReader reader({.paths = {folder.path().string()}}, batch_bytes);
    reader.hash_long_documents();
    Reading all;
    read_on(reader, all);
    ASSERT_EQ(all.error, "");
    ASSERT_EQ(all.documents.size(), 4 * texts.size() + 3);
    for (size_t i = 0; i < all.ends.size(); i += batch_bytes == 1 ? 17 : 1) {
      reader.seek(all.ends[i]);
      Reading rest;
      const bool within = i + 1 < all.ends.size() && all.documents_at[i] == all.documents_at[i + 1];
      read_on(reader, rest, within);
      EXPECT_EQ(rest.error, "");
      EXPECT_EQ(reader.bytes_read(), reader.bytes_total());
      ASSERT_EQ(rest.documents.size(), all.documents.size() - all.documents_at[i] + within) << batch_bytes << " " << i;
      for (size_t d = 0; d < rest.documents.size(); ++d) {
        const std::string& whole = all.documents[all.documents.size() - rest.documents.size() + d];
        EXPECT_TRUE(d == 0 && within ? whole.ends_with(rest.documents[d]) : whole == rest.documents[d]);
        EXPECT_EQ(rest.hashes[d], all.hashes[all.documents.size() - rest.documents.size() + d]);
      }
      EXPECT_TRUE(!within || std::ssize(rest.documents[0]) == 3000 - all.ends[i].byte);
    }
  }
}

TEST_F(DocumentsTest, SeekingCountsLines) {
  const std::string path = write("a.jsonl", lines_of({"one", "two"}) + "\n" + lines_of({"three"}) + "broken\n");
  DocumentReader reader({.paths = {path}}, 1);
  const auto first = reader.next();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->bytes, lines_of({"one"}));
  EXPECT_EQ(first->end.line, 1);
  reader.seek({0, std::ssize(lines_of({"one", "two"})) + 1, 3});
  Reading rest;
  read_on(reader, rest);
  EXPECT_EQ(rest.documents, Texts{"three"});
  EXPECT_EQ(rest.error, path + ": line 5, byte 1: not valid JSON; each line must hold one JSON object");
}

TEST_F(DocumentsTest, SeekingWhereNothingCanBeRead) {
  for (const std::string& path : {write("a.txt", "text"), write("b.txt.gz", gzip_of("text"))}) {
    DocumentReader reader({.paths = {path}});
    reader.seek({0, 5, 0});
    EXPECT_EQ(error_of([&] { reader.next(); }),
              path + ": ends before byte 5, where reading stopped; the file has changed");
    reader.seek({1, 0, 0});
    EXPECT_FALSE(reader.next());
  }
  DocumentReader standard_input({.paths = {"-"}});
  EXPECT_EQ(error_of([&] { standard_input.seek({}); }),
            "standard input cannot be read from its middle; write it to a file");
}

TEST_F(DocumentsTest, StandardInput) {
  const Texts texts = some_texts(50, 100);
  const auto from = [&](const std::string& content, int64_t batch_bytes = 1 << 20) {
    const StandardInputFrom file(write("stdin", content));
    DocumentReader reader({.paths = {"-"}}, batch_bytes);
    if (hashes) reader.hash_long_documents();
    Reading out;
    read_on(reader, out);
    EXPECT_TRUE(!out.error.empty() || reader.bytes_read() == std::ssize(content));
    return out;
  };
  for (const int64_t batch_bytes : {100, 1 << 20}) {
    EXPECT_EQ(from(lines_of(texts), batch_bytes).documents, texts);
    EXPECT_EQ(from(gzip_of(lines_of(texts)), batch_bytes).documents, texts);
    EXPECT_EQ(from("\xEF\xBB\xBF \r\n" + lines_of({"x"}), batch_bytes).documents, Texts{"x"});
    EXPECT_EQ(from("plain {text} in\npieces", batch_bytes).documents, Texts{"plain {text} in\npieces"});
    EXPECT_EQ(from(zstd_of("[plain]"), batch_bytes).documents, Texts{"[plain]"});
    EXPECT_EQ(from(" \n", batch_bytes).documents, Texts{" \n"});
    EXPECT_EQ(from("", batch_bytes).documents, Texts{});
  }
  EXPECT_EQ(from("\n{text}\n").error,
            "standard input: line 2, byte 3: not valid JSON; each line must hold one JSON object");
  hashes = true;
  EXPECT_EQ(from(lines_of(texts), 100).documents, texts);
  EXPECT_EQ(from("some words", 100).documents, Texts{"some words"});
  EXPECT_EQ(from("some words", 8).error,
            "standard input: a document of more than 8 bytes has to be read twice; write it to a file");
}

}  // namespace
}  // namespace gptmoe
