// gptmoe-tokenize as a user runs it: exit codes, summary lines, one-line errors.
#include "base/lock.h"
#include "corpus/token_layouts.h"
#include "corpus/tokenize_tool_fixture.h"

namespace gptmoe {
namespace {

TEST_F(TokenizeToolTest, TrainEncodeDecodeInspect) {
  write_text_file(folder / "a.jsonl", "{\"text\": \"abab abab\"}\n{\"text\": \"abba\"}\n");
  expect_success(
      run("train --input a.jsonl --vocab-size 260 --output t.json"),
      "t.json: 259 tokens (of 260 requested: no pair is left that occurs twice) from 2 documents (13 B, 3 distinct "
      "words)\n");
  expect_success(run("encode --tokenizer t.json --input a.jsonl --output d"),
                 "d: 2 documents (8 tokens) in 1 train shard, 13 B of text, 1.62 bytes a token, RATE\n");
  expect_success(run("inspect d/train_000000.bin"),
                 "d/train_000000.bin: 8 tokens, uint16 (version 1), ids 64 to 258, matches manifest.json\n");
  expect_success(
      run("inspect d/train_000000.bin --tokenizer t.json"),
      "d/train_000000.bin: 8 tokens, uint16 (version 1), ids 64 to 258, 2 ends of text, 13 B of text, begins "
      "\"abab abab<|endoftext|>abba<|endoftext|>\", matches manifest.json\n");
  const Result decoded = run("decode --tokenizer t.json d/train_000000.bin");
  EXPECT_EQ(decoded.code, 0);
  EXPECT_EQ(decoded.out, "abab abab<|endoftext|>abba<|endoftext|>");
  EXPECT_EQ(decoded.err, "d/train_000000.bin: 8 tokens, 39 B of text\n");
}

TEST_F(TokenizeToolTest, InspectFindsAFlippedBit) {
  prepare();
  ASSERT_EQ(run("encode --tokenizer t.json --input a.jsonl --output d").code, 0);
  const fs::path shard = folder / "d/train_000000.bin";
  const std::string good = read_text_file(shard);
  std::string damaged = good;
  damaged.back() ^= 1;
  write_text_file(shard, damaged);
  for (const char* command : {"inspect", "decode --tokenizer t.json"})
    expect_user_error(run(text(command, " d/train_000000.bin")),
                      "d/train_000000.bin: does not match its checksum in manifest.json: it is damaged or was "
                      "replaced; restore it or write it again");
  write_text_file(shard, good);
  fs::rename(folder / "d/manifest.json", folder / "moved.json");
  expect_contains(run("inspect d/train_000000.bin").out, ", not listed in a manifest.json, so its content cannot be");
  write_text_file(folder / "d/manifest.json", "[\"of another program\"]");
  expect_contains(run("inspect d/train_000000.bin").out, ", not listed in a manifest.json");
}

TEST_F(TokenizeToolTest, TwoTrainersOfATokenizerDoNotMix) {
  prepare();
  const std::string before = read_text_file(folder / "t.json");
  const OutputLock lock(folder / "t.json", "");
  const Result loser = run("train --input a.jsonl --vocab-size 258 --output t.json");
  EXPECT_EQ(loser.code, 2);
  expect_contains(loser.err, text("t.json: another process (", getpid(), " on "));
  expect_contains(loser.err, ") is training this tokenizer; wait for it or name another --output");
  EXPECT_EQ(read_text_file(folder / "t.json"), before);
}

TEST_F(TokenizeToolTest, EncodeSaysWhatIsInEachSplit) {
  prepare();
  std::string lines;
  for (int i = 0; i < 100; ++i) lines += "{\"text\": \"" + std::to_string(i + 100) + "\"}\n";
  write_text_file(folder / "b.jsonl", lines);
  const std::string command =
      "encode --tokenizer t.json --input b.jsonl --output d --val-fraction 0.1 "
      "--shard-tokens 100 --threads 2";
  const Result result = run(command);
  std::smatch match;
  ASSERT_TRUE(std::regex_match(result.out, match,
                               std::regex("d: ([0-9]+) documents \\(([0-9]+) tokens\\) in 4 train shards and "
                                          "([0-9]+) documents \\(([0-9]+) tokens\\) in 1 val shard, 300 B of text, "
                                          "0.75 bytes a token, [0-9.]+ MB/s\n")))
      << result.out << result.err;
  EXPECT_EQ(std::stoi(match[1]) + std::stoi(match[3]), 100);
  EXPECT_EQ(std::stoi(match[2]), 4 * std::stoi(match[1]));
  EXPECT_EQ(std::stoi(match[4]), 4 * std::stoi(match[3]));
  const Result again = run(command);
  EXPECT_EQ(again.code, 0);
  EXPECT_EQ(again.out,
            "d: complete already: " + std::regex_replace(result.out.substr(3), std::regex(", [0-9.]+ MB/s"), ""));
  expect_user_error(run(command + " --field body"),
                    "d/manifest.json: the shards here were started with --field text, but now it is body; repeat that "
                    "command, choose another --output, or remove the folder");
}

TEST_F(TokenizeToolTest, CountAgreesWithEncode) {
  prepare();
  expect_success(run("count --tokenizer t.json --input a.jsonl"),
                 "2 documents, 13 bytes of text, 15 tokens, 0.87 bytes a token, RATE\n");
  EXPECT_EQ(run("encode --tokenizer t.json --input a.jsonl --output d").out.substr(0, 51),
            "d: 2 documents (15 tokens) in 1 train shard, 13 B o");
  EXPECT_FALSE(fs::exists(folder / "manifest.json"));
  write_text_file(folder / "empty.jsonl", "\n");
  expect_user_error(run("count --tokenizer t.json --input empty.jsonl"),
                    "no document with text in it among 1 input file; check --input and --field");
}

TEST_F(TokenizeToolTest, DamagedLinesStopOrAreSkipped) {
  prepare();
  write_text_file(folder / "b.jsonl", "{\"text\": \"a\"}\nbroken\n{\"text\": \"b\"}\n");
  const Result stopped = run("encode --tokenizer t.json --input b.jsonl --output d");
  EXPECT_EQ(stopped.code, 2);
  expect_contains(stopped.err, "b.jsonl: line 2");
  EXPECT_FALSE(fs::exists(folder / "d"));
  const std::string skipped = run("encode --tokenizer t.json --input b.jsonl --output d --on-error skip").out;
  expect_contains(skipped, "d: 2 documents (4 tokens) in 1 train shard");
  expect_contains(skipped, "; 1 error skipped, the first: b.jsonl: line 2");
  expect_contains(run("train --input b.jsonl --vocab-size 257 --output u.json --on-error skip").out, "1 error skipped");
  expect_contains(run("count --tokenizer t.json --input b.jsonl --on-error skip").out, "1 error skipped");
}

TEST_F(TokenizeToolTest, FilesOfAFolderThatAreNotReadAreNamed) {
  prepare();
  fs::create_directory(folder / "in");
  write_text_file(folder / "in/a.json", "{\"text\": \"ab\"}\n");
  write_text_file(folder / "in/README.md", "x");
  write_text_file(folder / "in/.hidden", "x");
  expect_success(run("count --tokenizer t.json --input in"),
                 "1 document, 2 bytes of text, 3 tokens, 0.67 bytes a token, RATE; 1 file of another kind not read "
                 "(in/README.md), 1 hidden file or folder left out\n");
  write_text_file(folder / "in/b.parquet", "x");
  const std::string what =
      "in: 1 file with text or data in a format that is not read; convert it with "
      "tools/parquet_to_jsonl.py (in/b.parquet)";
  expect_user_error(run("encode --tokenizer t.json --input in --output d"),
                    what + "; or name only the files to read with --input, or leave it out with --on-error skip");
  expect_contains(run("count --tokenizer t.json --input in --on-error skip").out,
                  "; 1 error skipped, the first: " + what + "\n");
}

TEST_F(TokenizeToolTest, ATextWithBytesThatTheTokenizerLacksIsAnError) {
  prepare();
  auto tokenizer = nlohmann::json::parse(read_text_file(folder / "t.json"));
  auto& vocab = tokenizer["model"]["vocab"];
  const int missing = vocab["\u00FF"];  // the name of the byte FF
  vocab.erase("\u00FF");
  for (auto& [_, id] : vocab.items())
    if (id > missing) id = id.get<int>() - 1;
  for (auto& token : tokenizer["added_tokens"]) token["id"] = token["id"].get<int>() - 1;
  write_text_file(folder / "u.json", tokenizer.dump());
  write_text_file(folder / "b.txt", "ab\xFFz");
  expect_user_error(
      run("encode --tokenizer u.json --input b.txt --output d"),
      "b.txt: byte 2: FF is never part of UTF-8, and this tokenizer has no token for it; convert the text "
      "to UTF-8");
  EXPECT_FALSE(fs::exists(folder / "d"));
  expect_contains(run("count --tokenizer u.json --input b.txt --on-error skip").out, "1 document, 2 bytes of text");
  EXPECT_EQ(run("count --tokenizer t.json --input b.txt").code, 0);
}

TEST_F(TokenizeToolTest, ClosedStandardStreams) {
  prepare();
  expect_user_error(run("encode --tokenizer t.json --input - --output d <&-"),
                    "standard input is closed; pipe the text in, or name files with --input");
  EXPECT_FALSE(fs::exists(folder / "d"));
  // The tool's own files must not get the numbers of closed standard streams.
  const std::string encode =
      "cd '" + folder.path().string() + "' && '" + program() + "' encode --tokenizer t.json --input a.jsonl --output ";
  EXPECT_EQ(WEXITSTATUS(std::system((encode + "d <&- >&- 2>&-").c_str())), 1) << "the summary cannot be written";
  EXPECT_EQ(WEXITSTATUS(std::system((encode + "e > out.log").c_str())), 0);
  EXPECT_EQ(read_text_file(folder / "d/train_000000.bin"), read_text_file(folder / "e/train_000000.bin"));
}

TEST_F(TokenizeToolTest, Version) {
  for (const char* flag : {"--version", "-V"}) {
    const Result result = run(flag);
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_TRUE(std::regex_match(result.out, std::regex("gptmoe-tokenize [0-9]+\\.[0-9]+\\.[0-9]+\ncommit +[^\n]+\n"
                                                        "build +[^\n]+\ncompiler +[^\n]+\n")))
        << result.out;
  }
}

TEST_F(TokenizeToolTest, DecodeFollowsDocumentsAcrossShards) {
  prepare();
  std::string expected;
  for (const char* document : {"one \"two\"\n", "caf\\u00e9", "\xF0\x9F\x98\x80", "last"})
    expected += nlohmann::json{{"text", document}}.dump() + "\n";
  write_text_file(folder / "b.jsonl", expected);
  EXPECT_EQ(run("encode --tokenizer t.json --input b.jsonl --output d --shard-tokens 3").code, 0);
  const Result decoded = run("decode --jsonl --tokenizer t.json d/train_*.bin");
  EXPECT_EQ(decoded.code, 0) << decoded.err;
  EXPECT_EQ(std::regex_replace(decoded.out, std::regex("\": \""), "\":\""), expected);
  expect_contains(decoded.err, " shards: 4 documents, ");
  EXPECT_EQ(run("decode --tokenizer t.json d/train_*.bin").out.substr(0, 23), "one \"two\"\n<|endoftext|>");

  // A shard as llm.c writes it: every document starts with the end-of-text token, and none follows the last document.
  write_shard(folder / "s.bin", 257, {256, 64, 65, 256, 66});
  EXPECT_EQ(run("decode --jsonl --tokenizer t.json s.bin").out, "{\"text\": \"ab\"}\n{\"text\": \"c\"}\n");
}

TEST_F(TokenizeToolTest, JsonLinesHoldOnlyValidText) {
  prepare();
  write_text_file(folder / "raw.txt", "ab\xFFz");
  EXPECT_EQ(run("encode --tokenizer t.json --input raw.txt --output d --shard-tokens 2").code, 0);
  const Result result = run("decode --jsonl --tokenizer t.json d/train_000000.bin d/train_000001.bin");
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(result.err,
            "gptmoe-tokenize: d/train_000001.bin: token 0: its text is not valid UTF-8, which JSON cannot hold; decode "
            "without --jsonl\n");
  EXPECT_EQ(run("decode --tokenizer t.json d/train_*.bin").out, "ab\xFFz<|endoftext|>");
  expect_contains(run("inspect --tokenizer t.json d/train_000001.bin").out, "begins \"\xEF\xBF\xBDz\"");
}

TEST_F(TokenizeToolTest, ImportTurnsIdsIntoShards) {
  prepare();
  write_text_file(folder / "train.bin", bytes_of<uint16_t>(std::vector{64, 65, 256, 66, 256}));
  write_text_file(folder / "val.bin", bytes_of<uint16_t>(std::vector{67, 256}));
  const std::string command = "import train.bin --val val.bin --format nanogpt --tokenizer t.json --output d";
  const std::string line = "2 documents (5 tokens) in 1 train shard and 1 document (2 tokens) in 1 val shard\n";
  expect_success(run(command), "d: " + line);
  expect_success(run(command), "d: complete already: " + line);
  EXPECT_EQ(run("decode --tokenizer t.json d/train_000000.bin").out, "ab<|endoftext|>c<|endoftext|>");
  expect_success(run("import train.bin --format nanogpt --vocab-size 257 --output e"),
                 "e: 5 tokens in 1 train shard\n");
  expect_user_error(run("import train.bin --format nanogpt --output f"),
                    "give --tokenizer, or --vocab-size for ids without one");
  expect_user_error(run("import train.bin --format nanogpt --vocab-size 100 --output f"),
                    "train.bin: byte 4: id 256 (uint16) is not in the vocabulary of 100 entries; correct --tokenizer "
                    "or --vocab-size, or give the --dtype of the file");
  EXPECT_FALSE(fs::exists(folder / "f"));
  EXPECT_EQ(run("import train.bin --format nanogpt --vocab-size 9 --tokenizer t.json --output f").code, 2);
  const std::string help = "; see gptmoe-tokenize import --help";
  expect_user_error(run("import train.bin --format gpt --vocab-size 257 --output f"),
                    "--format: gpt not in {nanogpt,megatron,olmo}" + help);
  expect_user_error(run("import train.bin --dtype float32 --vocab-size 257 --output f"),
                    "--dtype: float32 not in {uint8,int8,uint16,int16,uint32,int32,uint64,int64}" + help);
  write_text_file(folder / "more.bin", bytes_of<uint16_t>(std::vector{68, 69, 256}));
  expect_success(run("import --val val.bin train.bin --vocab-size 257 --eot 256 --format nanogpt --output g"),
                 "g: " + line);
  expect_success(run("import train.bin --val val.bin --val more.bin --vocab-size 257 --format nanogpt --output h"),
                 "h: 5 tokens in 1 train shard and 5 tokens in 1 val shard\n");
}

TEST_F(TokenizeToolTest, StandardInputIsOneDocument) {
  EXPECT_EQ(run("train --input - --vocab-size 258 --output t.json", "printf 'one one' | ").code, 0);
  EXPECT_EQ(run("encode --tokenizer t.json --input - --output d", "printf 'one\\ntwo' | ").code, 0);
  EXPECT_EQ(run("decode --tokenizer t.json d/train_000000.bin").out, "one\ntwo<|endoftext|>");
  expect_user_error(run("encode --tokenizer t.json --input - --output d", "printf 'one\\ntwo' | "),
                    "d: holds an encoding of standard input, which cannot be checked for changes; "
                    "choose another --output or remove the folder");
}

TEST_F(TokenizeToolTest, MistypedWordsAreNamedBeforeMissingOnes) {
  expect_user_error(run("encod"), "unknown subcommand \"encod\"; did you mean \"encode\"? see gptmoe-tokenize --help");
  expect_user_error(run("help encod"),
                    "unknown subcommand \"encod\"; did you mean \"encode\"? see gptmoe-tokenize --help");
  expect_user_error(run("train --inptu a.txt --vocab-size 300"),
                    "unexpected arguments: --inptu a.txt (did you mean --input?); see gptmoe-tokenize train --help");
  expect_user_error(run("encode a b"), "--tokenizer is required; see gptmoe-tokenize encode --help");
  EXPECT_EQ(run("help").out, run("--help").out);
  EXPECT_EQ(run("help train").out, run("train --help").out);
}

TEST_F(TokenizeToolTest, UserErrorsAreOneLineAndExitCode2) {
  expect_user_error(run("train --input none.txt --vocab-size 300 --output t.json"),
                    "none.txt: no such file or folder; correct --input");
  write_text_file(folder / "a.txt", "text");
  expect_user_error(run("train --input a.txt --vocab-size 3 --output t.json"),
                    "a vocabulary of 3 entries cannot be trained; give at least 257 (256 bytes, 1 special) and at most "
                    "4194304");
  expect_user_error(run("train --input a.txt --output t.json"),
                    "--vocab-size is required; see gptmoe-tokenize train --help");
  const std::string train = "train --input a.txt --vocab-size 258 ";
  expect_user_error(run(train + "--output t.json --pattern gpt3"),
                    "--pattern: gpt3 not in {gpt2,llama3,cl100k,qwen2}; see gptmoe-tokenize train --help");
  expect_user_error(
      run("train --input none.txt --vocab-size 300 --output t.json --special '<s>'"),
      "none of the special tokens can end documents; give <|endoftext|>, <|end_of_text|> or </s> as one of them");
  expect_user_error(run(train + "--output t.json --threads 0"), "--threads 0: give 1 to 1024");
  expect_user_error(run(train + "--output t.json --on-error go"),
                    "--on-error: go not in {stop,skip}; see gptmoe-tokenize train --help");
  expect_user_error(run(train + "--output t.json --max-line-mib 0"), "--max-line-mib 0: give 1 to 1024");
  expect_user_error(run(train + "--output a.txt/t.json"),
                    "a.txt: cannot create this folder: Not a directory; correct --output");
  expect_user_error(run(train + "--output ''"), "--output is empty; name the tokenizer.json to write");
  fs::create_directory(folder / "f");
  expect_user_error(run(train + "--output f"), "f: a folder; set --output to a file in it");
  for (const char* option : {"--pattern", "--end-of-text"})
    expect_user_error(run("inspect s.bin " + std::string(option) + " gpt2"),
                      std::string(option) + " requires --tokenizer; see gptmoe-tokenize inspect --help");
  EXPECT_EQ(run("").code, 2);
  EXPECT_EQ(run("--help").code, 0);
}

TEST_F(TokenizeToolTest, TrainCreatesTheFolderUnlessItFails) {
  write_text_file(folder / "a.txt", "text text");
  EXPECT_EQ(run("train --input a.txt --vocab-size 258 --output data/notes/t.json").code, 0);
  EXPECT_TRUE(fs::is_regular_file(folder / "data/notes/t.json"));
  EXPECT_EQ(run("train --input none.txt --vocab-size 258 --output data/x/y/t.json").code, 2);
  EXPECT_FALSE(fs::exists(folder / "data/x"));
  expect_user_error(run("encode --tokenizer data/notes/t.json --input a.txt --output ''"),
                    "--output is empty; give it a name");
}

TEST_F(TokenizeToolTest, TrainUsesTheGivenSpecialTokens) {
  write_text_file(folder / "a.txt", "text text");
  EXPECT_EQ(run("train --input a.txt --vocab-size 258 --special '<s>' '</s>' --output t.json").code, 0);
  EXPECT_EQ(run("encode --tokenizer t.json --input a.txt --output d").code, 0);
  EXPECT_EQ(run("decode --tokenizer t.json d/train_000000.bin").out, "text text</s>");
}

TEST_F(TokenizeToolTest, AShardOfAnotherTokenizerIsRefused) {
  prepare();
  write_shard(folder / "s.bin", 50257, {1, 50000});
  const std::string line =
      "s.bin: token 1 has id 50000, unknown to this tokenizer of 257 entries; use the tokenizer that wrote the shard";
  expect_user_error(run("decode --tokenizer t.json s.bin"), line);
  expect_user_error(run("inspect s.bin --tokenizer t.json"), line);
  const std::string missing = "nope.bin: cannot open: No such file or directory; name a shard that can be read";
  expect_user_error(run("inspect nope.bin"), missing);
  expect_user_error(run("decode nope.bin --tokenizer t.json"), missing);
}

TEST_F(TokenizeToolTest, FullDiskIsExitCode1) {
  prepare();
  const testing::ProcessResult result =
      testing::run(folder.path(), {program(), "encode", "--tokenizer", "t.json", "--input", "a.jsonl", "--output", "d"},
                   {.largest_file = 500});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "gptmoe-tokenize: d/train_000000.bin.partial: cannot write: File too large\n");
  EXPECT_FALSE(fs::exists(folder / "d"));
}

TEST_F(TokenizeToolTest, FullStandardOutputIsExitCode1) {
  prepare();
  EXPECT_EQ(run("encode --tokenizer t.json --input a.jsonl --output d").code, 0);
  for (const char* command :
       {"count --tokenizer t.json --input a.jsonl", "encode --tokenizer t.json --input a.jsonl --output e",
        "train --input a.jsonl --vocab-size 257 --output u.json", "inspect d/train_000000.bin",
        "decode --tokenizer t.json d/train_000000.bin", "--help"}) {
    const int status = std::system(
        ("cd '" + folder.path().string() + "' && '" + program() + "' " + command + " > /dev/full 2> err.log").c_str());
    EXPECT_EQ(WEXITSTATUS(status), 1) << command;
    EXPECT_EQ(read_text_file(folder / "err.log"),
              "gptmoe-tokenize: standard output: cannot write: No space left on device\n");
  }
}

TEST_F(TokenizeToolTest, AMissingPermissionIsAUserError) {
  prepare();
  fs::create_directory(folder / "sec");
  fs::copy_file(folder / "t.json", folder / "sec/tokenizer.json");
  write_text_file(folder / "closed.json", "{}");
  write_text_file(folder / "closed.txt", "x");
  for (const char* name : {"sec", "closed.json", "closed.txt"}) fs::permissions(folder / name, fs::perms::none);
  fs::permissions(folder.path(), fs::perms(0755));
  const auto as_nobody = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), program());
    return testing::run(folder.path(), arguments, {.as_nobody = true});
  };
  if (const int code = as_nobody({"--help"}).exit_code; code == 126 || code == 127)
    GTEST_SKIP() << "the program cannot be run as another user";
  const auto refuses = [&](const std::vector<std::string>& arguments, const std::string& line) {
    const testing::ProcessResult result = as_nobody(arguments);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_EQ(result.err, "gptmoe-tokenize: " + line + "\n");
  };
  const std::string unreadable = "Permission denied; make it readable or name another tokenizer";
  refuses({"count", "--tokenizer", "sec/tokenizer.json", "--input", "a.jsonl"},
          "sec/tokenizer.json: cannot access it: " + unreadable);
  refuses({"count", "--tokenizer", "sec", "--input", "a.jsonl"}, "sec/tokenizer.json: cannot access it: " + unreadable);
  refuses({"count", "--tokenizer", "closed.json", "--input", "a.jsonl"}, "closed.json: cannot open: " + unreadable);
  const std::string no_folder = ": cannot create this folder: Permission denied; correct --output";
  refuses({"encode", "--tokenizer", "t.json", "--input", "a.jsonl", "--output", "sec/x"}, "sec/x" + no_folder);
  refuses({"encode", "--tokenizer", "t.json", "--input", "a.jsonl", "--output", "sec"},
          "sec: cannot write there: Permission denied; correct --output");
  refuses({"train", "--input", "a.jsonl", "--vocab-size", "257", "--output", "sec/x/t.json"}, "sec/x" + no_folder);
  refuses({"train", "--input", "a.jsonl", "--vocab-size", "257", "--output", "sec/t.json"},
          "sec: cannot write there: Permission denied; correct --output");
  fs::create_directories(folder / "in/closed");
  write_text_file(folder / "in/a.txt", "abba");
  write_text_file(folder / "in/closed/b.txt", "abba");
  fs::permissions(folder / "in/closed", fs::perms::none);
  refuses(
      {"count", "--tokenizer", "t.json", "--input", "in"},
      "in/closed: cannot list the folder: Permission denied; make it readable, or leave it out with --on-error skip");
  refuses({"count", "--tokenizer", "t.json", "--input", "in/closed", "--on-error", "skip"},
          "in/closed: cannot list the folder: Permission denied; make it readable or correct --input");
  refuses({"count", "--tokenizer", "t.json", "--input", "closed.txt"},
          "closed.txt: cannot open: Permission denied; make it readable or correct --input");
  const testing::ProcessResult skipped =
      as_nobody({"count", "--tokenizer", "t.json", "--input", "in", "--on-error", "skip"});
  EXPECT_EQ(skipped.exit_code, 0) << skipped.err;
  expect_contains(skipped.out, "1 document, 4 bytes of text");
  expect_contains(skipped.out, "; 1 error skipped, the first: in/closed: cannot list the folder: Permission denied\n");
  for (const char* name : {"sec", "in/closed"}) fs::permissions(folder / name, fs::perms::owner_all);
}

}  // namespace
}  // namespace gptmoe
