#include "data/documents.h"

#include "helpers.h"

namespace gptmoe {
namespace {

using Texts = std::vector<std::string>;

struct DocumentsTest : testing::Test {
  std::string write(const std::string& name, const std::string& content) {
    const auto path = folder / name;
    std::filesystem::create_directories(path.parent_path());
    write_text_file(path, content);
    return path.string();
  }
  static Texts read(const std::vector<std::string>& inputs, const std::string& field = "text") {
    DocumentReader reader(inputs, field);
    Texts out;
    while (const auto document = reader.next()) out.emplace_back(*document);
    EXPECT_EQ(reader.bytes_read(), reader.bytes_total());
    return out;
  }
  TemporaryFolder folder;
};

TEST_F(DocumentsTest, TextFileIsOneDocumentByteForByte) {
  const std::string content = "one\r\ntwo\n\xFF\n";
  EXPECT_EQ(read({write("a.txt", content)}), Texts{content});
}

TEST_F(DocumentsTest, JsonLinesAreDocuments) {
  const auto path =
      write("a.jsonl", "{\"text\": \"one\\n\\u00e9\", \"id\": 1}\n\n  \r\n{\"text\": \"two\"}\r\n{\"text\":\"three\"}");
  EXPECT_EQ(read({path}), (Texts{"one\né", "two", "three"}));
}

TEST_F(DocumentsTest, FieldIsChosen) {
  EXPECT_EQ(read({write("a.jsonl", "{\"body\": \"one\"}\n")}, "body"), Texts{"one"});
}

TEST_F(DocumentsTest, EmptyDocumentsAreSkipped) {
  EXPECT_EQ(read({write("a.jsonl", "{\"text\": \"\"}\n{\"text\": \"x\"}\n"), write("b.txt", ""), write("c.txt", "y")}),
            (Texts{"x", "y"}));
}

TEST_F(DocumentsTest, FoldersAreReadInOrderOfPath) {
  write("f/b.txt", "2");
  write("f/a/z.txt", "1");
  write("f/c.jsonl", "{\"text\": \"3\"}");
  write("f/notes.md", "no");
  const std::string last = write("x.txt", "4");
  EXPECT_EQ(read({(folder / "f").string(), last}), (Texts{"1", "2", "3", "4"}));
  const DocumentReader reader({(folder / "f").string()});
  EXPECT_EQ(reader.files(), 3);
  EXPECT_EQ(reader.files_ignored(), 1);
}

TEST_F(DocumentsTest, InputsThatCannotBeRead) {
  const std::string none = (folder / "none.txt").string(), other = write("a.csv", "x");
  EXPECT_EQ(error_of([&] { read({none}); }), none + ": no such file or folder; correct --input");
  expect_contains(error_of([&] { read({other}); }), other + ": neither .txt nor .jsonl");
  expect_contains(error_of([&] { read({folder.path().string()}); }), ": no .txt or .jsonl file in this folder");
}

TEST_F(DocumentsTest, NothingButEmptyDocuments) {
  expect_contains(error_of([&] { read({write("a.txt", ""), write("b.jsonl", "\n")}); }), "no document with text in it");
}

TEST_F(DocumentsTest, BrokenLinesNameTheirPlace) {
  const struct {
    const char* line;
    const char* complaint;
  } cases[] = {
      {"{\"text\": \"x\"", ": line 2, byte 13: not valid JSON"},
      {"{\"text\": \"\xFF\"}", ": line 2, byte 11: not valid JSON"},
      {"[\"x\"]", ": line 2: not a JSON object"},
      {"{\"body\": \"x\", \"id\": 3}",
       ": line 2: no field \"text\"; name the field that holds the text with --field (found: body, id)"},
      {"{\"text\": 3}", ": line 2: field \"text\" is not a string"},
  };
  for (const auto& item : cases) {
    const std::string path = write("a.jsonl", std::string("{\"text\": \"fine\"}\n") + item.line + "\n");
    expect_contains(error_of([&] { read({path}); }), path + item.complaint);
  }
}

}  // namespace
}  // namespace gptmoe
