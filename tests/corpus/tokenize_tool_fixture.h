#pragma once
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <regex>

#include "base/json.h"
#include "support/error_line.h"
#include "support/process.h"
#include "support/test_folders.h"
#include "support/write_shard.h"

namespace gptmoe {

namespace fs = std::filesystem;

struct Result {
  int code;
  std::string out, err;
};

struct TokenizeToolTest : ::testing::Test {
  static std::string program() { return build_folder() + "/gptmoe-tokenize"; }

  // Runs the tool in the temporary folder. `before` is shell code in front of the command, such as "printf x | ".
  Result run(const std::string& arguments, const std::string& before = "") {
    EXPECT_TRUE(fs::exists(program())) << "build gptmoe-tokenize first";
    const std::string command = "cd '" + folder.path().string() + "' && " + before + "'" + program() + "' " +
                                arguments + " > out.log 2> err.log";
    const int status = std::system(command.c_str());
    return {WEXITSTATUS(status), read_text_file(folder / "out.log"), read_text_file(folder / "err.log")};
  }
  // Expects exactly the line `summary`, in which "RATE" matches any speed.
  void expect_success(const Result& result, const std::string& summary) {
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.err, "");
    EXPECT_EQ(std::regex_replace(result.out, std::regex("[0-9.]+ MB/s"), "RATE"), summary);
  }
  void expect_user_error(const Result& result, const std::string& line) {
    EXPECT_EQ(result.code, 2);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err, "gptmoe-tokenize: " + line + "\n");
  }
  // Makes t.json, a tokenizer of 257 tokens, and a.jsonl with 2 documents.
  void prepare() {
    write_text_file(folder / "a.jsonl", "{\"text\": \"abab abab\"}\n{\"text\": \"abba\"}\n");
    EXPECT_EQ(run("train --input a.jsonl --vocab-size 257 --output t.json").code, 0);
  }
  TemporaryFolder folder;
};

}  // namespace gptmoe
