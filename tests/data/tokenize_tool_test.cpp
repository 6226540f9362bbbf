// gptmoe-tokenize as a person runs it: exit codes, summary lines, one-line errors.
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>

#include "data/write_shard.h"
#include "helpers.h"

namespace gptmoe {
namespace {

struct Result {
  int code;
  std::string out, err;
};

struct TokenizeToolTest : testing::Test {
  // Runs in the temporary folder; `before` is shell put ahead of the program ("printf x | ").
  Result run(const std::string& arguments, const std::string& before = "") {
    const std::string program = std::string(GPTMOE_BINARY_DIR) + "/gptmoe-tokenize";
    EXPECT_TRUE(std::filesystem::exists(program)) << "build gptmoe-tokenize first";
    const std::string command =
        "cd '" + folder.path().string() + "' && " + before + "'" + program + "' " + arguments + " > out.log 2> err.log";
    const int status = std::system(command.c_str());
    return {WEXITSTATUS(status), read_text_file(folder / "out.log"), read_text_file(folder / "err.log")};
  }
  void expect_success(const Result& result, const std::string& summary) {
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.err, "");
    EXPECT_EQ(result.out, summary);
  }
  void expect_user_error(const Result& result, const std::string& line) {
    EXPECT_EQ(result.code, 2);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err, "gptmoe-tokenize: " + line + "\n");
  }
  TemporaryFolder folder;
};

TEST_F(TokenizeToolTest, TrainEncodeDecodeInspect) {
  write_text_file(folder / "a.jsonl", "{\"text\": \"abab abab\"}\n{\"text\": \"abba\"}\n");
  expect_success(
      run("train --input a.jsonl --vocab-size 260 --output t.json"),
      "t.json: 259 tokens (of 260 asked: no pair is left that occurs twice) from 2 documents (13 B, 3 distinct "
      "words)\n");
  expect_success(run("encode --tokenizer t.json --input a.jsonl --output d"),
                 "d: 2 documents (13 B) in 1 train shard of 8 tokens, 1.62 bytes a token\n");
  expect_success(run("inspect d/train_000000.bin"),
                 "d/train_000000.bin: 8 tokens, uint16 (version 1), ids 64 to 258\n");
  expect_success(
      run("inspect d/train_000000.bin --tokenizer t.json"),
      "d/train_000000.bin: 8 tokens, uint16 (version 1), ids 64 to 258, 2 ends of text, 39 B of text, begins "
      "\"abab abab<|endoftext|>abba<|endoftext|>\"\n");
  const Result decoded = run("decode --tokenizer t.json d/train_000000.bin");
  EXPECT_EQ(decoded.code, 0);
  EXPECT_EQ(decoded.out, "abab abab<|endoftext|>abba<|endoftext|>");
  EXPECT_EQ(decoded.err, "d/train_000000.bin: 8 tokens, 39 B of text\n");
}

TEST_F(TokenizeToolTest, StandardInputIsOneDocument) {
  EXPECT_EQ(run("train --input - --vocab-size 258 --output t.json", "printf 'one one' | ").code, 0);
  EXPECT_EQ(run("encode --tokenizer t.json --input - --output d", "printf 'one\\ntwo' | ").code, 0);
  EXPECT_EQ(run("decode --tokenizer t.json d/train_000000.bin").out, "one\ntwo<|endoftext|>");
}

TEST_F(TokenizeToolTest, UserErrorsAreOneLineAndExitCode2) {
  expect_user_error(run("train --input none.txt --vocab-size 300 --output t.json"),
                    "none.txt: no such file or folder; correct --input");
  write_text_file(folder / "a.txt", "text");
  expect_user_error(run("train --input a.txt --vocab-size 3 --output t.json"),
                    "a vocabulary of 3 entries cannot be trained; give at least 257 (256 bytes, 1 special) and at most "
                    "4194304");
  expect_user_error(run("train --input a.txt --output t.json"), "--vocab-size is required; see gptmoe-tokenize --help");
  EXPECT_EQ(run("").code, 2);
  EXPECT_EQ(run("--help").code, 0);
}

TEST_F(TokenizeToolTest, ShardOfAnotherTokenizer) {
  write_text_file(folder / "a.txt", "abab abab");
  run("train --input a.txt --vocab-size 257 --output t.json");
  ShardWriter writer(folder / "s.bin", 50257);
  writer.append(std::vector<int32_t>{1, 50000});
  writer.commit();
  const std::string line =
      "s.bin: token 1 has id 50000, unknown to this tokenizer of 257 entries; give the tokenizer that wrote the shard";
  expect_user_error(run("decode --tokenizer t.json s.bin"), line);
  expect_user_error(run("inspect s.bin --tokenizer t.json"), line);
}

TEST_F(TokenizeToolTest, FailureOfTheMachineIsExitCode1) {
  write_text_file(folder / "a.txt", "text");
  const Result result = run("train --input a.txt --vocab-size 258 --output no/such/folder/t.json");
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err, "gptmoe-tokenize: no/such/folder/t.json: cannot create: No such file or directory\n");
}

}  // namespace
}  // namespace gptmoe
