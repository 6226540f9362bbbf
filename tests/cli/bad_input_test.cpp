// Every bad input gives exit code 2 and one line that tells the user what to do, and changes no files.
#include <sys/stat.h>

#include "base/checksum.h"
#include "cli/cli_fixture.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class BadInput : public CommandLine {
 protected:
  // Expects a valid config with `changes` (null removes a key) to be refused before any file is written.
  void refuse_config(const json& changes, const std::vector<std::string>& parts) {
    SCOPED_TRACE(changes.dump());
    json run = to_json(files_.config());
    run.merge_patch(changes);
    write_text_file(files_ / "bad.json", run.dump(2));
    refuse({"train", "bad.json", "--out", "run"}, parts);
    EXPECT_FALSE(fs::exists(files_ / "run"));
  }
  void refuse_shards(const std::string& name, const std::vector<std::string>& parts) {
    for (const char* field : {"data.train", "data.val"}) {
      SCOPED_TRACE(field);
      refuse({"train", "good.json", "--out", "run", "--set", std::string(field) + "=" + name}, parts);
      EXPECT_FALSE(fs::exists(files_ / "run"));
    }
  }
  void SetUp() override { write_config("good.json"); }
};

TEST_F(BadInput, Keys) {
  refuse_config({{"model", {{"num_heads", 3}}}}, {"bad.json: model.num_heads", "\"num_attention_heads\""});
  refuse_config({{"optimiser", json::object({{"eps", 1}})}}, {"optimiser", "\"optimizer\""});
  refuse_config({{"train", {{"steps", nullptr}}}}, {"bad.json: train.steps"});
  refuse_config({{"train", {{"steps", "ten"}}}}, {"bad.json: train.steps", "\"ten\""});
  refuse_config({{"train", {{"steps", 1.5}}}}, {"bad.json: train.steps", "1.5"});
  refuse_config({{"model", 3}}, {"bad.json: model"});
  refuse_config({{"router", {{"type", "defualt"}}}}, {"router.type", "\"default\""});
  refuse_config({{"router", {{"ema_beta", 0.9}}}}, {"router.ema_beta"});
}

TEST_F(BadInput, ValuesThatContradictEachOther) {
  refuse_config({{"model", {{"hidden_size", 13}, {"head_dim", nullptr}}}}, {"num_attention_heads", "13"});
  refuse_config({{"model", {{"num_key_value_heads", 2}}}}, {"num_key_value_heads"});
  refuse_config({{"model", {{"num_experts_per_tok", 6}}}}, {"num_experts_per_tok", "at most num_experts 5, not 6"});
  refuse_config({{"train", {{"sequence_length", 8}}}}, {"train.sequence_length", "max_position_embeddings 7"});
  refuse_config({{"train", {{"global_batch_size", 3}}}}, {"train.global_batch_size"});
  refuse_config({{"train", {{"sequence_length", 70}}}, {"model", {{"max_position_embeddings", 70}}}},
                {"train_*.bin", "67 tokens, too few for sequence_length 70"});
  refuse_config({{"schedule", {{"warmup_steps", 13}}}}, {"schedule.warmup_steps"});
  refuse_config({{"optimizer", {{"learning_rate", 0}}}}, {"optimizer.learning_rate"});
  refuse_config({{"model", {{"norm_topk_prob", true}}}, {"router", {{"type", "default"}}}}, {"norm_topk_prob"});
}

TEST_F(BadInput, WhatThisBuildOrMachineLacks) {
  setenv("CUDA_VISIBLE_DEVICES", "", 1);  // hides a GPU if there is one
  refuse_config({{"device", "cuda"}}, {"device: \"cuda\", but ", "; use \"cpu\" or \"auto\""});
  refuse_config({{"device", "auto"}, {"precision", "bf16"}}, {"precision: \"bf16\"", "set device to \"cpu\""});
}

// This error prints a table below its line.
TEST_F(BadInput, ARunThatDoesNotFitInMemory) {
  constexpr int kMany = 1 << 24;  // terabytes, too much for any machine
  write_config("large.json",
               {{"model", {{"hidden_size", 96}}},
                {"train", {{"sequence_length", 24}, {"micro_batch_size", kMany}, {"global_batch_size", kMany}}}});
  const ProcessResult result = gptmoe({"train", "large.json", "--out", "run"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_TRUE(result.err.starts_with("gptmoe: train.micro_batch_size: 16777216 needs ")) << result.err;
  expect_contains(result.err, "\n  parameters ");
  EXPECT_FALSE(fs::exists(files_ / "run"));
  const std::string remedy = "the largest that divides train.global_batch_size 16777216 and fits is ";
  expect_contains(result.err, remedy);
  const int64_t largest = std::stoll(result.err.substr(result.err.find(remedy) + remedy.size()));

  const auto plan = [&](int64_t micro_batch) {
    return succeed({"plan", "large.json", "--set", text("train.micro_batch_size=", micro_batch)}).out;
  };
  expect_contains(plan(largest / 2), "\nfits; train.micro_batch_size may be up to ");
  expect_contains(plan(largest * 4), "\ndoes not fit: train.micro_batch_size: ");
  write_config("other.json");
  EXPECT_EQ(gptmoe({"compare", "other.json", "large.json", "--out", "both"}).exit_code, 2);
  EXPECT_FALSE(fs::exists(files_ / "both"));
}

TEST_F(BadInput, ConfigFiles) {
  refuse({"train", "none.json", "--out", "run"}, {"none.json: cannot open"});
  write_text_file(files_ / "half.json", R"({"model": {"vocab_size": 2)");
  refuse({"train", "half.json", "--out", "run"}, {"half.json:1:"});
  write_text_file(files_ / "empty.json", "");
  refuse({"plan", "empty.json"}, {"empty.json"});
  write_text_file(files_ / "run.yaml", "model:\n  vocab_size: 2\n");
  refuse({"train", "run.yaml", "--out", "run"}, {"run.yaml: looks like YAML, but a config is JSON"});
  refuse({"plan", "."}, {".: a folder, not a config; give a config file (JSON)"});
  EXPECT_FALSE(fs::exists(files_ / "run"));
}

TEST_F(BadInput, Shards) {
  refuse_shards("none_*.bin", {"none_*.bin: no file matches"});
  write_text_file(files_ / "empty.bin", "");
  refuse_shards("empty.bin", {"empty.bin"});
  write_text_file(files_ / "foreign.bin", std::string(4096, 'x'));
  refuse_shards("foreign.bin", {"foreign.bin"});
  std::string shard = read_text_file(files_ / "train_0.bin");
  shard.resize(shard.size() - 3);
  write_text_file(files_ / "cut.bin", shard);
  refuse_shards("cut.bin", {"cut.bin"});
  write_random_shard(files_ / "tiny.bin", 29, 7, 1);
  refuse_shards("tiny.bin", {"tiny.bin", "too few for sequence_length 7"});
  fs::create_directory(files_ / "folder");
  refuse_shards("folder", {"folder: not a regular file"});
}

TEST_F(BadInput, TokensOutsideTheVocabulary) {
  write_random_shard(files_ / "large.bin", 5000, 80, 1);
  refuse({"train", "good.json", "--out", "run", "--set", "data.train=large.bin"},
         {"large.bin: token ", "model.vocab_size is 29"});
}

TEST_F(BadInput, CommandLines) {
  refuse({}, {"subcommand", "gptmoe --help"});
  refuse({"trian", "good.json"}, {"unknown subcommand \"trian\"", "\"train\"", "gptmoe --help"});
  refuse({"--bogus"}, {"--bogus", "gptmoe --help"});
  refuse({"train"}, {"config", "gptmoe train --help"});
  refuse({"train", "good.json", "--epochs", "3"}, {"unexpected arguments: --epochs 3; ", "gptmoe train --help"});
  refuse({"train", "good.json", "--resum"},
         {"unexpected argument: --resum (did you mean --resume?); see gptmoe train --help"});
  EXPECT_EQ(refuse({"train", "good.json", "--", "--out"}, {"--out; see "}).find("mean"), std::string::npos);
  refuse({"train", "good.json", "b.json", "c", "d.json"}, {"unexpected arguments: b.json c d.json; "});
  refuse({"bench", "ops", "part", "b", "c"}, {"unexpected arguments: b c; "});
  refuse({"train", "good.json", "--set", "train.steps"}, {"train.steps"});
  refuse({"train", "good.json", "--set", "train.stesp=3"}, {"--set train.stesp", "\"steps\""});
  refuse({"compare", "good.json", "good.json"}, {"good", "rename one"});
  refuse({"compare", "good.json", "good.json", "--seeds", "0"}, {"--seeds"});
  refuse({"plan", "good.json", "--ranks", "2", "--rate", "nan"}, {"--rate: must be a number, 0.001 to 1e+06, not nan"});
}

TEST_F(BadInput, LimitsOfTheProcess) {
  const std::string place = "'" + gptmoe_binary() + "' plan good.json";
  fail(run(folder(), {"/bin/sh", "-c", "ulimit -s 128; " + place}), 2,
       {"the stack is limited to 128 KiB", "ulimit -s 8192"});
  for (const int threads : {100000, 1000000000})
    fail(gptmoe({"train", "good.json", "--out", "run"}, {.threads = threads}), 2,
         {"OMP_NUM_THREADS: give 1 to ", text(" threads, not ", threads)});
  EXPECT_FALSE(fs::exists(files_ / "run"));
}

// A terminal would obey these characters.
TEST_F(BadInput, ControlCharactersAreEscaped) {
  write_text_file(files_ / "keys.json", R"({"mo\u001b[31mdel": 1})");
  refuse({"plan", "keys.json"}, {"\\x1b[31mdel"});
  write_text_file(files_ / "lines.json", R"({"a\nb": 2})");
  refuse({"plan", "lines.json"}, {"a\\nb: unknown key"});
  refuse({"plan", "none\x1b[2J.json"}, {"none\\x1b[2J.json: cannot open"});
  refuse({"plan", "no\nne.json"}, {"no\\nne.json: cannot open"});
  refuse({"plan", "good.json", "--\x1b[31m"}, {"--\\x1b[31m"});
}

// succeed() expects no escape character in the output.
TEST_F(BadInput, ControlCharactersOfPathsAreEscapedInTheOutput) {
  const auto path = [](const std::string& name) { return name + "\x1bM"; };
  expect_contains(succeed({"train", "good.json", "--out", path("run")}).out, "run         run\\x1bM\n");
  expect_contains(succeed({"eval", path("run"), path("run"), "--json", path("scores")}).out, "scores\\x1bM\n");
  succeed({"eval", path("run")});
  succeed({"analyze", path("run")});
  expect_contains(succeed({"export", path("run"), "--out", path("hf")}).out, "exported    hf\\x1bM\n");
  expect_contains(succeed({"import", path("hf"), "--out", path("start")}).out, "imported    start\\x1bM\n");
  fs::copy(files_ / "good.json", files_ / "new\x1bM.json");
  const std::vector<std::string> compare = {"compare", "good.json", "new\x1bM.json", "--out", path("both")};
  expect_contains(succeed(compare).out, "new\\x1bM");
  expect_contains(succeed(compare).out, "reusing     both\\x1bM");
  succeed({"report", path("both")});
}

TEST_F(BadInput, FifosAreNotWaitedFor) {
  ASSERT_EQ(mkfifo((files_ / "fifo").c_str(), 0600), 0);
  succeed({"train", "good.json", "--out", "run"});
  const std::vector<std::vector<std::string>> commands = {
      {"train", "fifo"},
      {"plan", "fifo"},
      {"compare", "fifo", "good.json", "--out", "both"},
      {"train", "good.json", "--out", "new", "--set", "data.val=fifo"},
      {"train", "good.json", "--out", "new", "--init-from", "fifo"},
      {"eval", "run", "--data", "fifo"},
      {"eval", "run", "--domain", "a=fifo"},
      {"eval", "run", "--task", "fifo"},
      {"generate", "run", "--tokenizer", "fifo"},
      {"import", "fifo", "--out", "new"},
      {"report", "fifo"}};
  for (const std::vector<std::string>& command : commands) refuse(command, {"fifo"});
  for (const char* file : {"config.json", "metrics.jsonl", "history.json", "provenance.json", "checkpoints/LATEST",
                           "checkpoints/step_00000012/state.json", "checkpoints/step_00000012/optimizer.safetensors"}) {
    SCOPED_TRACE(file);
    copy_folder(files_ / "run", files_ / "damaged");
    fs::remove(files_ / "damaged" / file);
    ASSERT_EQ(mkfifo((files_ / "damaged" / file).c_str(), 0600), 0);
    refuse({"train", "good.json", "--out", "damaged", "--resume", "--set", "train.steps=14"},
           {file, "not a regular file"});
    fs::remove_all(files_ / "damaged");
  }
}

// An unset shell variable gives an empty path.
TEST_F(BadInput, EmptyPaths) {
  const std::vector<std::vector<std::string>> commands = {{"train", ""},
                                                          {"train", "good.json", "--out", ""},
                                                          {"train", "good.json", "--init-from", ""},
                                                          {"train", "good.json", "--branch", ""},
                                                          {"plan", ""},
                                                          {"compare", "good.json", "", "--seeds", "2"},
                                                          {"compare", "good.json", "--seeds", "2", "--out", ""},
                                                          {"compare", "good.json", "--seeds", "2", "--svg", ""},
                                                          {"report", ""},
                                                          {"report", "run", "--out", ""},
                                                          {"watch", ""},
                                                          {"import", "", "--out", "x"},
                                                          {"import", "x", "--out", ""},
                                                          {"export", "", "--out", "x"},
                                                          {"export", "x", "--out", ""},
                                                          {"eval", ""},
                                                          {"eval", "run", "--data", ""},
                                                          {"eval", "run", "--json", ""},
                                                          {"eval", "run", "--task", ""},
                                                          {"analyze", ""},
                                                          {"generate", "run", "--tokenizer", ""},
                                                          {"bench", "ops", "--json", ""}};
  for (const std::vector<std::string>& command : commands) refuse(command, {": must not be empty; see gptmoe "});
  EXPECT_FALSE(fs::exists(files_ / "runs"));
}

// A folder with another program's state.json is not a checkpoint.
TEST_F(BadInput, AConfigBesideAnotherStateFileIsAConfig) {
  write_text_file(files_ / "state.json", "{}");
  succeed({"plan", "good.json"});
}

TEST_F(BadInput, OutputThatCannotBeWritten) {
  write_text_file(files_ / "file", "");
  for (const char* out : {"file", "file/run", "/proc/run"}) refuse({"train", "good.json", "--out", out}, {out});
  if (geteuid() == 0) return;  // root may do anything
  fs::create_directory(files_ / "closed");
  fs::permissions(files_ / "closed", fs::perms::none);
  for (const char* out : {"closed", "closed/run"}) refuse({"train", "good.json", "--out", out}, {out});
  fs::permissions(files_ / "closed", fs::perms::owner_all);
}

// ---- Runs and checkpoints ----------------------------------------------------------------------------------------

class BadCheckpoint : public BadInput {
 protected:
  void SetUp() override {
    BadInput::SetUp();
    succeed({"train", "good.json", "--out", "run"});
    checkpoint_ = files_ / "run/checkpoints/step_00000012";
  }
  // Expects every command that reads the checkpoint to refuse it with the same words.
  void refuse_everywhere(const std::vector<std::string>& parts) {
    const std::string metrics = read_text_file(files_ / "run/metrics.jsonl");
    refuse({"train", "good.json", "--out", "run", "--resume"}, parts);
    refuse({"eval", "run"}, parts);
    EXPECT_EQ(read_text_file(files_ / "run/metrics.jsonl"), metrics);
  }
  void replace_state(const std::string& part, const std::string& by) {
    std::string state = read_text_file(checkpoint_ / "state.json");
    const std::string seal = ",\n  \"checksum\": \"";
    state.resize(state.rfind(seal));
    const size_t at = state.find(part);
    ASSERT_NE(at, std::string::npos);
    state.replace(at, part.size(), by);
    write_text_file(checkpoint_ / "state.json", state + seal + checksum_text(checksum_of(state)) + "\"\n}\n");
  }
  fs::path checkpoint_;
};

TEST_F(BadCheckpoint, AnExistingRunIsNotOverwritten) {
  const std::string metrics = read_text_file(files_ / "run/metrics.jsonl");
  refuse({"train", "good.json", "--out", "run"}, {"run: holds a run already", "--resume"});
  refuse({"train", "good.json", "--out", "run", "--resume", "--set", "seed=4"}, {"seed = 1, now it is 4"});
  refuse({"train", "good.json", "--out", "other", "--resume"}, {"other: nothing to resume"});
  EXPECT_FALSE(fs::exists(files_ / "other"));
  EXPECT_EQ(read_text_file(files_ / "run/metrics.jsonl"), metrics);
}

TEST_F(BadCheckpoint, ARunOrACheckpointIsNoConfig) {
  const std::string metrics = read_text_file(files_ / "run/metrics.jsonl");
  for (const char* run : {"run", "run/"})
    for (const char* command : {"train", "plan"})
      refuse({command, run},
             {"run: a run's folder, not a config; give run/config.json (", "--out run --resume", "--branch run)"});
  refuse({"compare", "good.json", "run"}, {"run: a run's folder"});
  refuse({"bench", "step", "run"}, {"run: a run's folder"});
  const std::string checkpoint = "run/checkpoints/step_00000012";
  refuse({"train", checkpoint}, {checkpoint + ": a checkpoint, not a config; give run/config.json (",
                                 "--branch " + checkpoint, "--init-from " + checkpoint});
  for (const char* file : {"config.json", "state.json", "model.safetensors"})
    refuse({"train", checkpoint + "/" + file},
           {checkpoint + "/" + file + ": part of a checkpoint, not a config; give run/config.json ("});
  const auto inside = [&](const std::string& file, const std::vector<std::string>& parts) {
    fail(run_gptmoe(files_ / checkpoint, {"train", file}), 2, parts);
  };
  inside("state.json", {"state.json: part of a checkpoint, not a config", "--branch ., or"});
  inside("none.json", {"none.json: cannot open: No such file"});
  EXPECT_FALSE(fs::exists(files_ / "runs"));
  EXPECT_EQ(read_text_file(files_ / "run/metrics.jsonl"), metrics);
}

// Like an imported model: outside a run, and without the optimizer's file.
TEST_F(BadCheckpoint, AnImportGetsRemediesThatWork) {
  copy_folder(checkpoint_, files_ / "imported");
  fs::remove(files_ / "imported/optimizer.safetensors");
  const std::string line = refuse({"train", "imported"}, {"imported: a checkpoint, not a config; ", "--init-from imp"});
  EXPECT_EQ(line.find("--branch"), std::string::npos) << line;
  refuse({"train", "good.json", "--branch", "imported", "--out", "new"}, {"with --init-from imported"});
  EXPECT_FALSE(fs::exists(files_ / "new"));
  refuse({"analyze", "imported"}, {"train one from it with --init-from"});
}

TEST_F(BadCheckpoint, ATruncatedFileIsRefused) {
  fs::resize_file(checkpoint_ / "model.safetensors", 5000);
  refuse_everywhere({"model.safetensors: does not match its checksum", "step_00000008"});
}

TEST_F(BadCheckpoint, AFlippedBitIsFound) {
  std::string bytes = read_text_file(checkpoint_ / "optimizer.safetensors");
  bytes[bytes.size() / 2] ^= 4;
  write_text_file(checkpoint_ / "optimizer.safetensors", bytes);
  refuse({"train", "good.json", "--out", "run", "--resume"}, {"optimizer.safetensors", "step_00000008"});
  succeed({"eval", "run"});  // eval needs only the model
}

TEST_F(BadCheckpoint, WeightsThatAreNotFiniteAreRefusedByTensor) {
  const fs::path model = checkpoint_ / "model.safetensors";
  std::string bytes = read_text_file(model);
  const std::string checksum = checksum_text(checksum_of(bytes));
  bytes.replace(bytes.size() - 4, 4, std::string("\0\0\xC0\x7F", 4));
  write_text_file(model, bytes);
  replace_state(checksum, checksum_text(checksum_of(bytes)));
  const std::vector<std::string> parts = {": tensor \"", "has elements that are infinite or not a number"};
  refuse_everywhere(parts);
  refuse({"analyze", "run"}, parts);
  refuse({"export", "run", "--out", "exported"}, parts);
  refuse({"train", "good.json", "--init-from", "run", "--out", "new"}, parts);
  refuse({"train", "good.json", "--branch", "run", "--out", "new", "--set", "train.steps=20"}, parts);
  for (const char* written : {"exported", "new"}) EXPECT_FALSE(fs::exists(files_ / written)) << written;
}

TEST_F(BadCheckpoint, ALaterFormatIsRefused) {
  replace_state("\"format_version\": 1", "\"format_version\": 2");
  refuse_everywhere({"format version 2", "update gptmoe"});
}

TEST_F(BadCheckpoint, AnotherModelIsRefused) {
  write_config("wide.json", {{"model", {{"moe_intermediate_size", 11}}}});
  succeed({"train", "wide.json", "--out", "wide", "--set", "train.steps=3"});
  fs::remove_all(files_ / "run/checkpoints");
  copy_folder(files_ / "wide/checkpoints", files_ / "run/checkpoints");
  refuse({"train", "good.json", "--out", "run", "--resume"},
         {"config.json: has model.moe_intermediate_size = ", "step_00000003", "another run's"});
}

TEST_F(BadCheckpoint, MissingFilesAndFoldersAreNamed) {
  refuse({"eval", "nowhere"}, {"nowhere: "});
  refuse({"eval", "run/checkpoints"}, {"neither a run's folder"});
  refuse({"generate", "nowhere"}, {"nowhere: "});
  refuse({"generate", "run"}, {"--tokenizer"});
  refuse({"generate", "run", "--tokenizer", "none.json"}, {"none.json"});
  refuse({"report", "nowhere"}, {"nowhere"});
  refuse({"eval", "run", "--data", "none.bin"}, {"none.bin: no file matches"});
}

TEST_F(BadCheckpoint, ChangedDataIsRefused) {
  fs::remove_all(checkpoint_);
  write_random_shard(files_ / "train_2.bin", 29, 500, 2);
  refuse({"train", "good.json", "--out", "run", "--resume"}, {"train_2.bin: is new since the run began"});
}

}  // namespace
}  // namespace gptmoe::testing
