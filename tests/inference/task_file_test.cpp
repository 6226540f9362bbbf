#include "inference/task_file.h"

#include <gtest/gtest.h>

#include "support/error_line.h"
#include "support/temporary_folder.h"

namespace gptmoe {
namespace {

class TaskFileTest : public ::testing::Test {
 protected:
  Task read(const std::string& content) {
    write_text_file(folder_ / "t.jsonl", content);
    return read_task({"t", folder_ / "t.jsonl"});
  }
  // The error for this content, without the file's name in front.
  std::string refused(const std::string& content) {
    const std::string line = error_of([&] { read(content); }), file = (folder_ / "t.jsonl").string() + ":";
    EXPECT_TRUE(line.starts_with(file)) << line;
    return line.substr(std::min(line.size(), file.size()));
  }
  TemporaryFolder folder_;
};

TEST_F(TaskFileTest, ANameIsNoFile) {
  const std::string path = (folder_ / "copa").string();
  EXPECT_EQ(error_of([&] { find_task_files({path}); }),
            "--task " + path +
                ": no such file or folder; give a file of JSON lines or a folder of them; "
                "docs/tasks.md says how to make one from a benchmark");
  write_text_file(path + ".jsonl", "");
  EXPECT_EQ(error_of([&] { find_task_files({path}); }),
            "--task " + path + ": no such file or folder; did you mean " + path + ".jsonl?");
  std::filesystem::create_symlink("nowhere", path);
  expect_contains(error_of([&] { find_task_files({path}); }), ": cannot access it: it is a link to nowhere");
}

TEST_F(TaskFileTest, MultipleChoice) {
  const Task task = read(R"({"query": "2+2=", "choices": ["3", "4", "5"], "gold": 1})"
                         "\r\n\n  \n"
                         R"({"gold": 0, "query": "", "choices": ["x", "y"]})");
  EXPECT_EQ(task.kind, TaskKind::multiple_choice);
  ASSERT_EQ(task.examples.size(), 2u);
  const Example& first = task.examples[0];
  EXPECT_EQ(first.candidates(), 3);
  EXPECT_EQ(first.context(2), "2+2=");
  EXPECT_EQ(first.continuation(2), "5");
  EXPECT_EQ(first.gold, 1);
  EXPECT_EQ(task.place(task.examples[1]), (folder_ / "t.jsonl").string() + ":4");
}

TEST_F(TaskFileTest, SchemaAndCompletion) {
  const Task schema = read(R"({"context_options": ["A so A", "A so B"], "continuation": "won", "gold": 1})");
  EXPECT_EQ(schema.kind, TaskKind::schema);
  EXPECT_EQ(schema.examples[0].candidates(), 2);
  EXPECT_EQ(schema.examples[0].context(1), "A so B");
  EXPECT_EQ(schema.examples[0].continuation(1), "won");
  const Task completion = read(R"({"context": "one two", "continuation": "three"})");
  EXPECT_EQ(completion.kind, TaskKind::completion);
  EXPECT_EQ(completion.examples[0].candidates(), 1);
  EXPECT_EQ(completion.examples[0].context(0), "one two");
}

// As in llm-foundry's simple_arithmetic_withspaces, bigbench_strategy_qa and others.
TEST_F(TaskFileTest, WhiteSpaceAroundTextsIsDropped) {
  const Example completion = read(R"({"context": "25 - 759 =", "continuation": " -734"})").examples[0];
  EXPECT_EQ(completion.context(0), "25 - 759 =");
  EXPECT_EQ(completion.continuation(0), "-734");
  const Example choice =
      read(R"({"query": "\tWho? \n\nAnswer: ", "choices": [" a b", "c\r\n"], "gold": 0})").examples[0];
  EXPECT_EQ(choice.context(0), "Who? \n\nAnswer:");
  EXPECT_EQ(choice.continuation(0), "a b");
  EXPECT_EQ(choice.continuation(1), "c");
  const Example schema = read(R"({"context_options": [" A", "B\n"], "continuation": " won ", "gold": 1})").examples[0];
  EXPECT_EQ(schema.context(0), "A");
  EXPECT_EQ(schema.context(1), "B");
  EXPECT_EQ(schema.continuation(0), "won");
  EXPECT_EQ(read(R"({"query": " ", "choices": ["a", "b"], "gold": 0})").examples[0].context(0), "");
}

TEST_F(TaskFileTest, Categories) {
  for (const char* line : {R"({"query": "q", "choices": ["a", "b"], "gold": 0, "category": " law "})",
                           R"({"context_options": ["a", "b"], "continuation": "c", "gold": 0, "category": "law"})",
                           R"({"context": "a", "continuation": "b", "category": "law"})"})
    EXPECT_EQ(read(line).examples[0].category, "law");
  const std::string plain = R"({"context": "a", "continuation": "b"})", law =
                                                                            R"({"context": "a", "continuation": "b", )"
                                                                            R"("category": "law"})";
  EXPECT_EQ(read(plain).examples[0].category, "");
  EXPECT_EQ(refused(plain + "\n" + law), "2: category: every line must have one, or none; the first line has none");
  EXPECT_EQ(refused(law + "\n" + plain), "2: category: every line must have one, or none; the first line has one");
  EXPECT_EQ(refused(R"({"context": "a", "continuation": "b", "category": 1})"), "1: category: must be a string, not 1");
  EXPECT_EQ(refused(R"({"context": "a", "continuation": "b", "category": " "})"),
            "1: category: must not be empty; name a category, or leave the key out");
  EXPECT_EQ(refused(R"({"context": "a", "continuation": "b", "categories": "x"})"),
            "1: categories: unknown key; did you mean \"category\"?");
}

TEST_F(TaskFileTest, TheChecksumIsThatOfTheBytes) {
  const std::string line = R"({"context": "a", "continuation": "b"})";
  const std::string checksum = read(line).checksum;
  EXPECT_EQ(checksum.size(), 16u);
  EXPECT_EQ(read(line).checksum, checksum);
  EXPECT_NE(read(line + "\n").checksum, checksum);
}

TEST_F(TaskFileTest, WrongLinesAreNamed) {
  const std::string good = R"({"query": "q", "choices": ["a", "b"], "gold": 0})"
                           "\n";
  EXPECT_EQ(refused(good + "\n{\"query\" 1}"),
            "3:10: syntax error while parsing object separator - unexpected number literal; expected ':'");
  EXPECT_EQ(refused(good + "{\"query\": 1e999}"), "2:15: number overflow parsing '1e999'");
  EXPECT_EQ(refused(good + R"({"query": "q", "query": "p"})"), "2: query: given twice; keep one");
  EXPECT_EQ(refused(good + "[1]"), "2: must be an object {...}, not [1]");
  EXPECT_EQ(refused(R"({"query": "q", "choices": ["a", "b"], "gold": 2})"),
            "1: gold: must be a whole number from 0 to 1, not 2");
  EXPECT_EQ(refused(R"({"query": "q", "choices": ["a", "b"], "gold": "1"})"),
            "1: gold: must be a whole number from 0 to 1, not \"1\"");
  EXPECT_EQ(refused(R"({"query": "q", "choices": ["a"], "gold": 0})"),
            "1: choices: must be an array of at least 2 strings, not [\"a\"]");
  EXPECT_EQ(refused(R"({"query": "q", "choices": ["a", 2], "gold": 0})"),
            "1: choices: must be an array of at least 2 strings, not [\"a\",2]");
  EXPECT_EQ(refused(R"({"query": "q", "choices": ["a", ""], "gold": 0})"),
            "1: choices[1]: must not be empty or white space: such a text has no likelihood");
  EXPECT_EQ(refused(R"({"context": "a", "continuation": " \n"})"),
            "1: continuation: must not be empty or white space: such a text has no likelihood");
  EXPECT_EQ(refused(R"({"query": "q", "choices": ["a", "b"], "gold": 0, "golden": 1})"),
            "1: golden: unknown key; did you mean \"gold\"?");
  EXPECT_EQ(refused(R"({"question": "q", "choices": ["a", "b"], "gold": 0})"), "1: query: missing; give a string");
  EXPECT_EQ(refused(R"({"context_options": ["a", "b"], "continuation": "", "gold": 0})"),
            "1: continuation: must not be empty or white space: such a text has no likelihood");
  EXPECT_EQ(refused(R"({"context": "a"})"), "1: continuation: missing; give a string");
  EXPECT_EQ(refused(R"({"context": "a", "continuation": "b", "gold": 0})"),
            "1: gold: unknown key; known here: \"context\", \"continuation\", \"category\"");
}

TEST_F(TaskFileTest, OtherKindsOfTasksAreRefused) {
  EXPECT_EQ(refused(R"({"context": "q", "answer": "18"})"),
            "1: answer: tasks with generated answers are not scored; see docs/eval.md");
  EXPECT_TRUE(refused(R"({"ind": 4})").starts_with("1: not a task: needs the keys (query, choices, gold), "));
  EXPECT_TRUE(refused("\n\n").starts_with(" no examples"));
  EXPECT_EQ(refused(R"({"context": "a", "continuation": "b"})"
                    "\n"
                    R"({"query": "q", "choices": ["a", "b"], "gold": 0})"),
            "2: multiple_choice, but the earlier lines are completion; split them into two files");
}

TEST_F(TaskFileTest, FoldersAndNames) {
  for (const char* path :
       {"set/b.jsonl", "set/a.jsonl", "set/deep/a.jsonl", "set/note.txt", "other/a.jsonl", "x.json"}) {
    std::filesystem::create_directories((folder_ / path).parent_path());
    write_text_file(folder_ / path, "");
  }
  std::filesystem::create_directory(folder_ / "empty");
  const auto names = [&](const std::vector<std::string>& paths) {
    std::vector<std::string> full, names;
    for (const std::string& path : paths) full.push_back(folder_ / path);
    for (const TaskFile& file : find_task_files(full)) names.push_back(file.name);
    return names;
  };
  EXPECT_EQ(names({"x.json", "set/"}), (std::vector<std::string>{"x", "a", "b", "deep/a"}));
  EXPECT_EQ(names({"."}), (std::vector<std::string>{"other/a", "set/a", "set/b", "set/deep/a"}));
  expect_contains(error_of([&] {
                    names({"set/a.jsonl", "other"});
                  }),
                  "other/a.jsonl: two tasks are named \"a\"; rename one");
  expect_contains(error_of([&] { names({"empty"}); }), "empty: no .jsonl in it");
  expect_contains(error_of([&] { read_task({"none", folder_ / "none.jsonl"}); }), "none.jsonl: cannot open");
}

}  // namespace
}  // namespace gptmoe
