// What the commands say about a run whose files another program changed.
#include "cli/cli_fixture.h"
#include "support/test_folders.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class Trust : public CommandLine {
 protected:
  void SetUp() override {
    fs::copy(source_folder() + "/tests/tokenizer/golden/tokenizer.json", files_ / "words.json");
    write_config("run.json", {{"model", {{"vocab_size", 401}, {"max_position_embeddings", 24}}},
                              {"data", {{"tokenizer", "words.json"}}}});
    succeed({"train", "run.json", "--out", "run"});
  }
  std::string notes_of_report() {
    succeed({"report", "run"});
    return json::parse(read_text_file(files_ / "run/report.json"))["notes"].dump();
  }
};

TEST_F(Trust, AnEditedConfigIsNotShownAsTheRuns) {
  const fs::path config = files_ / "run/config.json";
  json edited = json::parse(read_text_file(config));
  edited["optimizer"]["learning_rate"] = 0.5;
  write_text_file(config, edited.dump(2));
  const std::string why =
      "run/config.json: has optimizer.learning_rate = 0.5, but run/checkpoints/step_00000012 was trained with ";
  refuse({"report", "run"}, {why});
  refuse({"analyze", "run", "--batches", "1"}, {why});
  expect_contains(succeed({"export", "run", "--out", "hf"}).out, "note: README.md has no validation loss: " + why);
  succeed({"eval", "run"});  // uses the config in the checkpoint
  write_text_file(files_ / "run/checkpoints/step_00000012/state.json", "{}");
  expect_contains(notes_of_report(), "config.json and the last rows are not checked: run/checkpoints/");
  fs::remove_all(files_ / "run/checkpoints");
  EXPECT_EQ(notes_of_report().find("checked"), std::string::npos) << "nothing is left to compare with";
}

TEST_F(Trust, RowsThatAreGoneAreReported) {
  EXPECT_EQ(notes_of_report().find("run/"), std::string::npos);
  const fs::path rows = files_ / "run/metrics.jsonl";
  std::string content = read_text_file(rows);
  write_text_file(rows, content.substr(0, content.size() - 9));
  const std::string half = "the last row is not complete",
                    gone = "the row that was last when step 12 was saved is gone";
  std::string notes = notes_of_report();
  expect_contains(notes, half);
  expect_contains(notes, "run (run) has no evaluation of its last step");
  content.resize(content.find("\"step\":11,"));
  write_text_file(rows, content.substr(0, content.rfind('\n') + 1));
  notes = notes_of_report();
  expect_contains(notes, gone);
  EXPECT_EQ(notes.find(half), std::string::npos);
  expect_contains(succeed({"analyze", "run", "--batches", "1"}).out, gone);
  expect_contains(succeed({"export", "run", "--out", "hf"}).out, gone);
}

TEST_F(Trust, AnOlderLatestIsReported) {
  write_text_file(files_ / "run/checkpoints/LATEST", "step_00000008\n");
  const std::string note = "note: run/checkpoints/LATEST: names step_00000008, but step_00000012 is later; ";
  expect_contains(succeed({"eval", "run"}).out, note);
  expect_contains(succeed({"analyze", "run", "--batches", "1"}).out, note);
  expect_contains(succeed({"export", "run", "--out", "hf"}).out, note);
  const ProcessResult generated = gptmoe({"generate", "run", "--prompt", "a", "--tokens", "2"});
  EXPECT_EQ(generated.exit_code, 0);
  EXPECT_TRUE(generated.err.starts_with(note)) << generated.err;
}

TEST_F(Trust, AChangedTokenizerIsNotUsed) {
  append_text(files_ / "run/tokenizer.json", "\n");
  const std::string why =
      "run/tokenizer.json: not the tokenizer with which the run began, according to the checksum in "
      "run/history.json; restore it, or pass --tokenizer FILE";
  refuse({"export", "run", "--out", "hf"}, {why});
  refuse({"generate", "run", "--prompt", "a", "--tokens", "2"}, {why});
  succeed({"export", "run", "--out", "hf", "--tokenizer", "words.json"});
}

}  // namespace
}  // namespace gptmoe::testing
