#include "base/read_json.h"

#include <gtest/gtest.h>

#include "support/error_line.h"

namespace gptmoe {
namespace {

using nlohmann::json;

std::string error_in(const std::string& content, Comments comments = Comments::allowed) {
  return error_of([&] { parse_json(content, "f.json", comments); });
}

TEST(ReadJson, AllowsBothKindsOfComment) {
  EXPECT_EQ(parse_json("// head\n{/* one\n two */\"a\": 1, // tail\n\"b\": \"// no /* comment\"}\n// end", "f",
                       Comments::allowed),
            json::parse(R"({"a": 1, "b": "// no /* comment"})"));
}

TEST(ReadJson, CommentsAreErrorsWhereNotAllowed) {
  EXPECT_TRUE(error_in("1 // one", Comments::refused).starts_with("f.json:1:3: syntax error"))
      << error_in("1 // one", Comments::refused);
}

TEST(ReadJson, ErrorsNameLineColumnAndWhatWasExpected) {
  EXPECT_EQ(error_in("{\n  \"a\": 1,\n}"),
            "f.json:3:1: syntax error while parsing object key - unexpected '}'; expected string literal");
  EXPECT_EQ(error_in("{\"a\" 1}"),
            "f.json:1:6: syntax error while parsing object separator - unexpected number literal; expected ':'");
  EXPECT_EQ(error_in("{\"a\": [1, 2}"), "f.json:1:12: syntax error while parsing array - unexpected '}'; expected ']'");
  EXPECT_EQ(error_in("{\"a\": 1}\n\n  {"),
            "f.json:3:3: syntax error while parsing value - unexpected '{'; expected end of input");
  EXPECT_EQ(error_in("{\n\"a\": 1\n"),
            "f.json:3:1: syntax error while parsing object - unexpected end of input; expected '}'");
}

TEST(ReadJson, AZeroByteIsNotTheEnd) {
  EXPECT_EQ(error_in(std::string("{}\n\0{", 5)),
            "f.json:2:1: a zero byte, which JSON text cannot contain; the file is damaged");
  EXPECT_EQ(error_in(std::string("[\"\0\"]", 5)).substr(0, 11), "f.json:1:3:");
}

TEST(ReadJson, EmptyFileIsAnError) {
  const std::string wanted =
      "syntax error while parsing value - unexpected end of input; expected '[', '{', or a literal";
  EXPECT_EQ(error_in(""), "f.json:1:1: " + wanted);
  EXPECT_EQ(error_in("// only\n"), "f.json:2:1: " + wanted);
}

TEST(ReadJson, EveryErrorIsOneLineWithItsPosition) {
  for (const std::string content : {"{\"a\": tru}", "{'a': 1}", "{\"a\": \"line\nbreak\"}", "{\"a\": 01}",
                                    "{\"a\": .5}", "{\"a\": NaN}", "{\"a\": \"\xff\"}", "{\"a\": \"\\x\"}",
                                    "{/* open\n\n", "{\"a\": 1 / 2}", "\xef\xbb", "[1,,2]", "{,}", "]", "\"open"}) {
    const std::string error = error_in(content);
    EXPECT_TRUE(error.starts_with("f.json:1:") || (content.starts_with("{/*") && error.starts_with("f.json:3:")))
        << error;
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
    EXPECT_EQ(error.find("json.exception"), std::string::npos) << error;
  }
}

TEST(ReadJson, AWholeFileInsideACommentIsNotQuoted) {
  EXPECT_LT(error_in("{/*" + std::string(10000, 'x')).size(), 200u);
}

TEST(ReadJson, NumbersOutsideTheRangeOfDoubleAreErrors) {
  EXPECT_EQ(error_in("{\"a\": 1e999}"), "f.json:1:11: number overflow parsing '1e999'");
}

TEST(ReadJson, AKeyGivenTwiceIsAnError) {
  EXPECT_EQ(error_in(R"({"a": 1, "b": 2, "a": 1})"), "f.json: a: given twice; keep one");
  EXPECT_EQ(error_in(R"({"m": {"x": 1}, "t": {"x": 1, "y": [{"x": 1}], "x": 2}})"),
            "f.json: t.x: given twice; keep one");
  EXPECT_EQ(error_in(R"({"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 2}]})"), "no error");
}

TEST(ReadJson, ErrorsInALineNameTheLineAndTheColumn) {
  const auto error_of_line = [](const std::string& line) {
    return error_of([&] { parse_json_line(line, "f.jsonl:7"); });
  };
  EXPECT_EQ(error_of_line("{\"a\" 1}"),
            "f.jsonl:7:6: syntax error while parsing object separator - unexpected number literal; expected ':'");
  EXPECT_EQ(error_of_line("{\"a\": 1e999}"), "f.jsonl:7:11: number overflow parsing '1e999'");
  EXPECT_EQ(error_of_line(R"({"a": 1, "a": 1})"), "f.jsonl:7: a: given twice; keep one");
  EXPECT_TRUE(error_of_line("1 // one").starts_with("f.jsonl:7:3: syntax error"));
  EXPECT_EQ(parse_json_line("[1, 2]", "f.jsonl:7"), json({1, 2}));
}

TEST(ReadJson, DeepNestingIsAnErrorNotACrash) {
  EXPECT_EQ(error_in(std::string(200000, '[')), "f.json: nested deeper than 32 levels");
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  EXPECT_EQ(error_in(objects), "f.json: nested deeper than 32 levels");
}

}  // namespace
}  // namespace gptmoe
