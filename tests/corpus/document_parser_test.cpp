// Parsing documents from batches. tests/corpus/documents_test.cpp tests the reader that makes the batches.
#include <malloc.h>

#include <algorithm>

#include "corpus/documents.h"
#include "corpus/input_helpers.h"

namespace gptmoe {
namespace {

using Texts = std::vector<std::string>;

TextBatch json_lines(const std::string& bytes) {
  TextBatch batch;
  batch.bytes = bytes;
  batch.path = "a.jsonl";
  batch.json_lines = true;
  batch.begin = {0, 1000, 10};  // so the batch's first line is line 11
  return batch;
}

Texts parse(const TextBatch& batch, const TextInput& input = {}, Texts* errors = nullptr) {
  Texts documents, ignored;
  DocumentParser parser(input);
  parser.parse(
      batch,
      [&](const DocumentPiece& piece) {
        EXPECT_TRUE(piece.begins && piece.ends && !piece.hash);
        documents.emplace_back(piece.text);
      },
      errors ? *errors : ignored);
  return documents;
}

std::string error_in(const std::string& lines, const TextInput& input = {}) {
  return error_of([&] { parse(json_lines(lines), input); });
}

TEST(DocumentParserTest, LinesAreDocuments) {
  const std::string lines =
      "{\"text\": \"one\\n\\u00e9\\ud83d\\ude00\", \"id\": 1}\n\n  \r\n{\"text\": \"two\"}\r\n "
      "\t\n{\"text\":\"\"}\n{\"text\":"
      "\"three\"} ";
  EXPECT_EQ(parse(json_lines(lines)), (Texts{"one\né😀", "two", "three"}));
}

TEST(DocumentParserTest, NeedsNoPaddingAfterTheBytes) {
  std::string lines;
  Texts texts;
  for (int i = 0; i < 50; ++i) {
    texts.push_back(random_text(1 + static_cast<size_t>(i) * 7 % 90));
    std::replace(texts.back().begin(), texts.back().end(), '\n', ' ');
    lines += "{\"text\":\"" + texts.back() + "\"}\n";
  }
  TextBatch batch = json_lines(lines);
  batch.bytes.shrink_to_fit();
  EXPECT_EQ(parse(batch), texts);
  batch.bytes.reserve(batch.bytes.size() + kTextPadding);
  EXPECT_EQ(parse(batch), texts);
}

TEST(DocumentParserTest, ReadsTheFieldAndItsLastValue) {
  EXPECT_EQ(parse(json_lines("{\"body\": \"one\"}\n"), {.field = "body"}), Texts{"one"});
  EXPECT_EQ(
      parse(json_lines("{\"text\": \"first\", \"m\": {\"text\": \"inner\"}, \"text\": \"last\", \"n\": [\"text\"]}")),
      Texts{"last"});
  EXPECT_EQ(error_in("{\"text\": \"first\", \"text\": 2}"),
            "a.jsonl: line 11: field \"text\" is not a string; choose another with --field");
  EXPECT_EQ(parse(json_lines("{\"t\\u0065xt\": \"escaped\"}")), Texts{"escaped"});
}

TEST(DocumentParserTest, SkipsAByteOrderMarkAtTheStartOfTheFile) {
  TextBatch batch = json_lines("\xEF\xBB\xBF{\"text\": \"x\"}\n{\"text\": }\n");
  batch.begin = {};
  EXPECT_EQ(error_of([&] { parse(batch); }),
            "a.jsonl: line 2, byte 10: not valid JSON; each line must hold one JSON object");
  batch.bytes = "\xEF\xBB\xBF{\"text\": }\n";
  EXPECT_EQ(error_of([&] { parse(batch); }),
            "a.jsonl: line 1, byte 13: not valid JSON; each line must hold one JSON object");
  batch.bytes = "\xEF\xBB\xBF{\"text\": \"x\"}";
  EXPECT_EQ(parse(batch), Texts{"x"});
}

TEST(DocumentParserTest, ReadsJsonThatTheFastParserCannot) {
  const std::string deep(5000, '['), end(5000, ']');
  EXPECT_EQ(parse(json_lines("{\"id\": 123456789012345678901234567890, \"text\": \"a\", \"text\": \"b\"}\n{\"x\": " +
                             deep + end + ", \"text\": \"c\"}\n{\"text\": \"d\"}")),
            (Texts{"b", "c", "d"}));
  const std::string id = "{\"id\": 123456789012345678901234567890";
  EXPECT_EQ(error_in(id + ", \"text\": 1}"),
            "a.jsonl: line 11: field \"text\" is not a string; choose another with --field");
  EXPECT_EQ(error_in(id + "}"),
            "a.jsonl: line 11: no field \"text\"; use --field to name the field that holds the text (found: id)");
  EXPECT_EQ(error_in("[123456789012345678901234567890]"),
            "a.jsonl: line 11: not a JSON object; a line must read {\"text\": \"...\"}, as jq -c '.[]' FILE writes the "
            "objects of an array");
}

TEST(DocumentParserTest, ErrorsNameTheirPlaceAndTheRemedy) {
  const std::string json = "not valid JSON; each line must hold one JSON object";
  const std::string object = "not a JSON object; a line must read {\"text\": \"...\"}";
  const std::string unended =
      "the JSON value does not end on its line; each line must hold one JSON object, as jq -c . FILE writes it (the "
      "objects of an array: jq -c '.[]' FILE)";
  const std::string field = "no field \"text\"; use --field to name the field that holds the text (found: ";
  const std::string escape = "a broken \\ escape in a string (\\ud800 to \\udfff come in pairs); correct the line";
  const std::string utf8 = "not valid UTF-8; convert the file to UTF-8";
  const struct {
    std::string line, complaint;
  } cases[] = {
      {"{\"text\": \"x\"", ": " + unended},
      {"{\"text\": \"x", ": " + unended},
      {"{", ": " + unended},
      {" [ \r", ": " + unended},
      {"{\"text\": \"x\"},", ", byte 14: " + json},
      {"\"text", ", byte 6: " + json},
      {"{\"text\": \"x\"} {\"text\": \"y\"}", ", byte 15: " + json},
      {"{\"text\": \"a\tb\"}", ", byte 12: " + json},
      {"text", ", byte 2: " + json},
      {std::string("{\"text\": \"a\0b\"}", 15), ", byte 12: " + json},
      {"{\"text\": \"\\x\"}", ", byte 12: " + escape},
      {"{\"text\": \"\\ud83d!\"}", ", byte 17: " + escape},
      {"{\"text\": \"\xFF\"}", ", byte 11: " + utf8},
      {"{\"text\": \"caf\xE9\"}", ", byte 14: " + utf8},
      {"{\"text\": \"\xED\xA0\x80\"}", ", byte 11: " + utf8},
      {"{\"text\": x, \"\xFF\": 1}", ", byte 10: " + json},
      {"{\"id\": 1e999, \"text\": \"x\"}", ": a number beyond a double's range; write it as a string"},
      {"[\"x\"]", ": " + object + ", as jq -c '.[]' FILE writes the objects of an array"},
      {"\"text\"", ": " + object},
      {"17", ": " + object},
      {"{\"text\": 3}", ": field \"text\" is not a string; choose another with --field"},
      {"{\"text\": null}", ": field \"text\" is not a string; choose another with --field"},
      {"{}", ": " + field + "none)"},
      {"{\"body\": \"x\", \"a\\nb\": 3}", ": " + field + "body, a?b)"},
      {"{\"1\":1,\"2\":2,\"3\":3,\"4\":4,\"5\":5,\"6\":6,\"7\":7,\"8\":8,\"9\":9,\"10\":10}",
       ": " + field + "1, 2, 3, 4, 5, 6, 7, 8, ...)"},
      {"{\"" + std::string(31, 'k') + "é\": 1}", ": " + field + std::string(31, 'k') + "...)"},
  };
  for (const auto& item : cases)
    EXPECT_EQ(error_in("{\"text\": \"fine\"}\n" + item.line + "\n"), "a.jsonl: line 12" + item.complaint);
}

TEST(DocumentParserTest, SkippedLinesAreCountedAndNamed) {
  Texts errors;
  const std::string lines =
      "{\"text\": \"one\"}\nbroken\n{\"text\": \"two\"}\n{\"text\": 3}\n\n{\"text\": \"three\"}\n";
  EXPECT_EQ(parse(json_lines(lines), {.skip_errors = true}, &errors), (Texts{"one", "two", "three"}));
  EXPECT_EQ(errors, (Texts{"a.jsonl: line 12, byte 1: not valid JSON; each line must hold one JSON object",
                           "a.jsonl: line 14: field \"text\" is not a string; choose another with --field"}));
}

TEST(DocumentParserTest, AVisitorsErrorIsNotSkipped) {
  DocumentParser parser({.skip_errors = true});
  Texts errors;
  EXPECT_EQ(error_of([&] {
              parser.parse(
                  json_lines("{\"text\": \"x\"}"), [](const DocumentPiece&) { user_error("mine"); }, errors);
            }),
            "mine");
}

TEST(DocumentParserTest, PiecesOfPlainTextPassUnchanged) {
  TextBatch batch;
  batch.bytes = "{\"text\": \xFF";
  batch.begins_document = false;
  batch.document_hash = 42;
  DocumentParser parser({});
  Texts errors;
  int visits = 0;
  const auto visit = [&](const DocumentPiece& piece) {
    ++visits;
    EXPECT_EQ(piece.text, batch.bytes);
    EXPECT_FALSE(piece.begins);
    EXPECT_TRUE(piece.ends);
    EXPECT_EQ(piece.hash, 42u);
  };
  parser.parse(batch, visit, errors);
  batch.bytes.clear();
  parser.parse(batch, visit, errors);
  EXPECT_EQ(visits, 1);
}

TEST(DocumentParserTest, GivesBackTheMemoryOfLongLines) {
  const auto held = [] {
    const auto heap = mallinfo2();
    return static_cast<int64_t>(heap.uordblks + heap.hblkhd);  // 0 if another allocator is in use
  };
  DocumentParser parser({.skip_errors = true});
  Texts errors;
  const int64_t before = held();
  for (const std::string begin :
       {"{\"text\": \"x\", \"list\": [", "{\"text\": \"y\", \"id\": 123456789012345678901, \"list\": ["}) {
    int64_t most = 0, size = 0;
    {
      TextBatch batch;
      batch.json_lines = true;
      batch.bytes = begin;
      while (batch.bytes.size() < size_t{4} << 20) batch.bytes += "[],";
      batch.bytes += "0]}";
      batch.bytes.shrink_to_fit();
      size = std::ssize(batch.bytes);
      parser.parse(
          batch, [&](const DocumentPiece&) { most = held() - before; }, errors);
    }
    EXPECT_LT(most, 16 * size);
    EXPECT_LT(held() - before, size) << begin;
  }
  EXPECT_EQ(errors, Texts{});
}

// Every line, however damaged, gives either a document or an error of one line.
TEST(DocumentParserTest, DamagedLines) {
  const std::string line =
      "{\"id\": -12.5e3, \"tags\": [true, false, null, {\"a\": []}], \"text\": \"caf\xC3\xA9 \\u00e9 \\\"q\\\" \\\\ "
      "end\"}";
  std::mt19937 random(3);
  DocumentParser parser({.skip_errors = true});
  for (int trial = 0; trial < 10'000; ++trial) {
    std::string damaged = line;
    for (unsigned changes = random() % 4; changes > 0; --changes)
      damaged[random() % line.size()] = random() % 2 ? static_cast<char>(random()) : line[random() % line.size()];
    if (random() % 2) damaged.resize(random() % line.size());
    std::replace(damaged.begin(), damaged.end(), '\n', ' ');
    if (damaged.find_first_not_of(" \t\r") == std::string::npos) continue;
    TextBatch batch = json_lines(damaged);
    batch.bytes.shrink_to_fit();
    Texts errors;
    const bool empty_document = damaged.find("\"text\": \"\"") != std::string::npos;
    int documents = 0;
    parser.parse(
        batch, [&](const DocumentPiece&) { ++documents; }, errors);
    EXPECT_TRUE(documents + std::ssize(errors) == 1 || empty_document) << damaged;
    for (const std::string& error : errors) {
      EXPECT_TRUE(error.starts_with("a.jsonl: line 11")) << error;
      EXPECT_EQ(error.find('\n'), std::string::npos) << error;
    }
  }
}

}  // namespace
}  // namespace gptmoe
