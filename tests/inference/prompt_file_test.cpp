#include "inference/prompt_file.h"

#include <gtest/gtest.h>

#include "support/run_fixture.h"

namespace gptmoe::testing {
namespace {

class PromptFile : public ::testing::Test {
 protected:
  fs::path write(const std::string& name, const std::string& content) {
    write_text_file(folder_ / name, content);
    return folder_ / name;
  }
  static std::vector<std::string> texts(const fs::path& path) {
    std::vector<std::string> out;
    for (const Prompt& prompt : read_prompts(path)) out.push_back(prompt.text);
    return out;
  }
  TemporaryFolder folder_;
};

TEST_F(PromptFile, HoldsLinesOfText) {
  const fs::path path = write("p.txt", "In the beginning\r\n\n  \n two {\"prompt\": 3}\nlast");
  EXPECT_EQ(texts(path), (std::vector<std::string>{"In the beginning", " two {\"prompt\": 3}", "last"}));
  EXPECT_EQ(read_prompts(path)[1].place, path.string() + ":4");
}

TEST_F(PromptFile, HoldsJsonLines) {
  const fs::path path =
      write("p.jsonl", "{\"prompt\": \"a\\nb\"}\r\n\n{\"id\": 7, \"prompt\": \"\"}\n{\"prompt\": \"\\u20ac\"}");
  EXPECT_EQ(texts(path), (std::vector<std::string>{"a\nb", "", "€"}));
  EXPECT_EQ(read_prompts(path)[2].place, path.string() + ":4");
}

TEST_F(PromptFile, ThatCannotBeRead) {
  const auto refused = [&](const fs::path& path, const std::string& expected) {
    const std::string line = error_line<UserError>([&] { read_prompts(path); });
    EXPECT_TRUE(line.starts_with(path.string() + expected)) << line;
  };
  refused(folder_ / "none.txt", ": cannot open: No such file");
  refused(folder_ / ".", ": not a regular file");
  refused(write("empty.txt", ""), ": no prompts; it needs a prompt on each line");
  refused(write("blank.txt", "\n \r\n"), ": no prompts");
  refused(write("empty.jsonl", "\n"), ": no prompts; it needs a JSON object with the key \"prompt\" on each line");
  refused(write("cut.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": "), ":2:");
  refused(write("list.jsonl", "[\"a\"]"), ":1");
  refused(write("text.jsonl", "In the beginning"), ":1:1: ");
  refused(write("typo.jsonl", "{\"promt\": \"a\"}"), ":1: prompt: ");
  refused(write("number.jsonl", "\n{\"prompt\": 3}"), ":2: prompt: ");
}

}  // namespace
}  // namespace gptmoe::testing
