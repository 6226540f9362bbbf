// Damage to files that a run trusts is reported and changes nothing, and two processes never write the same run.
#include <omp.h>

#include <map>
#include <set>

#include "base/checksum.h"
#include "base/joined.h"
#include "base/lock.h"
#include "base/seal.h"
#include "checkpoint/held_checkpoint.h"
#include "data/shard_seals.h"
#include "records/metrics_file.h"
#include "support/run_fixture.h"
#include "train/metrics.h"
#include "train/run_directory.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class Seals : public ::testing::Test {
 protected:
  void SetUp() override { omp_set_num_threads(1); }

  // The contents of the run's files, by path.
  std::map<std::string, std::string> content() const {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(run_))
      if (entry.is_regular_file()) files[entry.path()] = read_text_file(entry.path());
    return files;
  }
  // The error of a resume, which must change nothing.
  std::string refused() const {
    const auto before = content();
    const std::string line = error_line<UserError>([&] { train_quietly(config_, run_, true); });
    EXPECT_TRUE(content() == before);
    return line;
  }
  static void replace(const fs::path& file, const std::string& what, const std::string& by) {
    std::string bytes = read_text_file(file);
    const size_t at = bytes.find(what);
    ASSERT_NE(at, std::string::npos) << what;
    write_text_file(file, bytes.replace(at, what.size(), by));
  }

  // Resumes the run and returns what it prints.
  std::string resumed() const {
    std::string screen;
    EXPECT_EQ(train_quietly(config_, run_, true, &screen), 0);
    return screen;
  }

  RunFolder folder_;
  const fs::path run_ = folder_ / "run", rows_ = run_ / "metrics.jsonl";
  const Config config_ = folder_.config();
};

TEST_F(Seals, ADamagedRowBeforeTheCheckpointIsNamed) {
  train_quietly(config_, run_);
  const fs::path rows = run_ / "metrics.jsonl";
  const std::string good = read_text_file(rows);
  const size_t third = good.find("\"step\":3,"), loss = good.find("\"loss\":", third) + 7;
  std::string damaged = good;
  damaged[loss] = damaged[loss] == '1' ? '2' : '1';
  write_text_file(rows, damaged);
  EXPECT_EQ(refused(), rows.string() +
                           ":3: does not match its own checksum: it is damaged, cut short or edited; repair or remove "
                           "the line");
  EXPECT_THROW(require_rows_in_order(run_, 12), UserError);
  write_text_file(rows, good);
  EXPECT_EQ(train_quietly(config_, run_, true), 0);
}

// Reading a row throws if any one byte of it, other than its newline, was changed.
TEST_F(Seals, EveryDamagedByteOfARowShows) {
  train_quietly(config_, run_);
  const std::string content = read_text_file(run_ / "metrics.jsonl");
  const std::string row = content.substr(0, content.find('\n') + 1);
  EXPECT_EQ(MetricsLine(row, "x").event(), "train");
  for (size_t i = 0; i + 1 < row.size(); ++i)
    for (const char other : {'0', '7', '"', ',', 'x'}) {
      std::string damaged = row;
      if (damaged[i] == other) continue;
      damaged[i] = other;
      EXPECT_THROW(MetricsLine(damaged, "x"), UserError) << damaged;
    }
}

// A checkpoint of an older version does not say which row was last.
TEST_F(Seals, RowsThatAreGoneAreNoted) {
  train_quietly(config_, run_);
  EXPECT_EQ(resumed().find("note"), std::string::npos);
  const std::string good = read_text_file(rows_);
  const size_t fourth = good.rfind('\n', good.find("\"step\":4,")) + 1;
  write_text_file(rows_, good.substr(0, fourth + 30));
  const std::string from_a_copy = "; restore the file from a copy\n";
  expect_contains(resumed(), text("note: ", rows_.string(), ": the row that was last when step 12 was saved is gone, ",
                                  "and perhaps rows before it", from_a_copy));
  const fs::path state_file = run_ / "checkpoints/step_00000012/state.json";
  json state = json::parse(read_text_file(state_file));
  EXPECT_EQ(state.erase("last_row"), 1u);
  state.erase("checksum");
  write_text_file(state_file, sealed(state.dump(2)));
  write_text_file(rows_, good.substr(0, fourth));
  expect_contains(resumed(), text("note: ", rows_.string(), ": has no rows for steps 4 to 12", from_a_copy));
}

TEST_F(Seals, RowsThatWereRemovedOrMovedAreNoted) {
  train_quietly(config_, run_);
  const std::string good = read_text_file(rows_);
  std::vector<std::string> lines;
  for_each_complete_line(good, [&](std::string_view line) { lines.emplace_back(line); });
  ASSERT_EQ(events_of(run_)[4], "train 5");
  ASSERT_EQ(events_of(run_)[5], "eval 5");
  const auto note = [&](int line) {
    return text("note: ", rows_.string(), ":", line, ": rows before this line were removed, repeated or moved; ",
                "restore the file from a copy\n");
  };
  std::vector<std::string> changed = lines;
  changed.erase(changed.begin() + 2);
  write_text_file(rows_, joined(changed, ""));
  expect_contains(resumed(), note(3));
  expect_contains(resumed(), note(3));  // the rows that this resume wrote continue the chain, and the gap stays
  changed = lines;
  std::swap(changed[4], changed[5]);
  write_text_file(rows_, joined(changed, ""));
  expect_contains(resumed(), note(5));
  write_text_file(rows_, good);
  EXPECT_EQ(resumed().find("note"), std::string::npos);
}

TEST_F(Seals, AResumeAndABranchContinueTheChain) {
  train_quietly(config_, run_);
  const auto last_row = [](const fs::path& run, const char* step) {
    return read_checkpoint_state(run / "checkpoints" / step).last_row;
  };
  const std::string rows = read_text_file(rows_);
  const size_t eighth = rows.rfind('\n', rows.find("\"step\":8,")) + 1, end = rows.find('\n', eighth) + 1;
  EXPECT_EQ(last_row(run_, "step_00000008"), links_of(std::string_view(rows).substr(eighth, end - eighth)).checksum);
  cut_back(run_, 8);
  EXPECT_EQ(resumed().find("note"), std::string::npos);
  const Config longer = folder_.config({{"train", {{"steps", 14}}}});
  const fs::path branch = folder_ / "branch";
  start_branch(run_ / "checkpoints/step_00000008", branch, longer);
  EXPECT_EQ(resume_with(longer, branch, {}), 0);
  for (const fs::path& run : {run_, branch}) {
    const std::optional<SavedRow> saved = saved_row(run);
    ASSERT_TRUE(saved);
    EXPECT_EQ(saved->step, run == run_ ? 12 : 14);
    EXPECT_EQ(row_problems(run, saved), std::vector<std::string>{});
    EXPECT_NE(read_text_file(run / "metrics.jsonl").find("\"step\":12,"), std::string::npos);
  }
}

TEST_F(Seals, ALostRowIsReportedAfterAResumeToo) {
  train_quietly(config_, run_);
  const std::string rows = read_text_file(rows_);
  for (const size_t kept : {rows.find('\n') + 1, size_t{0}}) {
    write_text_file(rows_, rows.substr(0, kept));
    expect_contains(resumed(), "note: ");
    const std::vector<std::string> problems = row_problems(run_, saved_row(run_));
    ASSERT_EQ(problems.size(), 1u) << kept;
    expect_contains(problems[0], "rows before this line were removed, repeated or moved");
  }
}

TEST_F(Seals, RowsOfOlderVersionsAreRead) {
  train_quietly(config_, run_);
  std::string rows = read_text_file(run_ / "metrics.jsonl"), older;
  for (size_t at = 0, end; (end = rows.find('\n', at)) != std::string::npos; at = end + 1) {
    json row = json::parse(rows.substr(at, end - at));
    for (const char* key : {"previous", "checksum"}) row.erase(key);
    older += row.dump() + "\n";
  }
  write_text_file(run_ / "metrics.jsonl", older);
  EXPECT_EQ(train_quietly(config_, run_, true), 0);
  const std::string kept = older.substr(0, older.rfind('\n', older.size() - 2) + 1);  // the last evaluation is repeated
  EXPECT_TRUE(read_text_file(run_ / "metrics.jsonl").starts_with(kept));
  EXPECT_EQ(row_problems(run_, std::nullopt), std::vector<std::string>{});
}

TEST_F(Seals, DamagedRecordsAreNamed) {
  train_quietly(config_, run_);
  for (const auto& [file, key] :
       {std::pair("history.json", "\"tokens\": "), std::pair("provenance.json", "\"ranks\": ")}) {
    const std::string good = read_text_file(run_ / file);
    std::string damaged = good;
    const size_t digit = good.find(key) + std::string(key).size();
    damaged[digit] = damaged[digit] == '9' ? '1' : static_cast<char>(damaged[digit] + 1);
    write_text_file(run_ / file, damaged);
    const Config longer = folder_.config({{"train", {{"steps", 14}}}});
    const auto before = content();
    const std::string line = error_line<UserError>([&] { resume_with(longer, run_, {"train.steps"}); });
    EXPECT_EQ(line.find((run_ / file).string() + ": does not match its own checksum"), 0u) << line;
    EXPECT_TRUE(content() == before);
    write_text_file(run_ / file, good);
  }
  json older = json::parse(read_text_file(run_ / "history.json"));
  older.erase("checksum");
  write_text_file(run_ / "history.json", older.dump(2));
  EXPECT_EQ(train_quietly(config_, run_, true), 0);
}

TEST_F(Seals, AConfigThatWasEditedIsNotCompared) {
  train_quietly(config_, run_);
  json edited = json::parse(read_text_file(run_ / "config.json"));
  edited["optimizer"]["learning_rate"] = 0.5;
  write_text_file(run_ / "config.json", edited.dump(2));
  const auto refused = [&] { return error_line<UserError>([&] { require_unedited_config(run_); }); };
  expect_contains(refused(), "config.json: has optimizer.learning_rate = 0.5, but ");
  edited = json::parse(to_json(config_).dump());
  edited["train"]["eval_tokens"] = 7;
  write_text_file(run_ / "config.json", edited.dump(2));
  expect_contains(refused(), "config.json: has train.eval_tokens = 7, but ");
  edited = json::parse(to_json(config_).dump());
  edited["optimizer"].erase("learning_rate");
  write_text_file(run_ / "config.json", edited.dump(2));
  expect_contains(refused(), "config.json: has optimizer.learning_rate = null, but ");
}

TEST_F(Seals, AConfigThatAResumeChangedIsNotEdited) {
  train_quietly(config_, run_);
  const Config longer = folder_.config({{"train", {{"steps", 14}, {"eval_every", 7}}}, {"checkpoint", {{"every", 4}}}});
  resume_with(longer, run_, {"train.steps"});
  require_unedited_config(run_);
  cut_back(run_, 12);  // config.json and history.json are newer than this checkpoint
  require_unedited_config(run_);
  json older = json::parse(read_text_file(run_ / "config.json"));
  older["train"]["a_later_key"] = 1;  // its checkpoint is from before there was such a key
  write_text_file(run_ / "config.json", older.dump(2));
  require_unedited_config(run_);
}

TEST_F(Seals, AnOlderLatestIsReported) {
  train_quietly(config_, run_);
  EXPECT_EQ(hold_checkpoint(run_).note, "");
  write_text_file(run_ / "checkpoints/LATEST", "step_00000008\n");
  const std::string note =
      (run_ / "checkpoints/LATEST").string() +
      ": names step_00000008, but step_00000012 is later; to use the later one, write its name into this file";
  EXPECT_EQ(hold_checkpoint(run_).note, note);
  EXPECT_EQ(hold_checkpoint(run_ / "checkpoints/step_00000008").note, "") << "the user named this checkpoint";
  expect_contains(resumed(), "note: " + note + "; the steps after 8 are trained again\n");
  EXPECT_EQ(resumed().find("note"), std::string::npos);
}

TEST_F(Seals, ShardsAreCheckedWhereTheyHaveSeals) {
  std::string screen;
  train_quietly(config_, run_, false, &screen);
  expect_contains(screen, "\nunchecked   3 shards without a checksum in a manifest.json\n");
  fs::remove_all(run_);
  seal_shards(folder_ / "", {"train_0.bin", "train_1.bin"});
  train_quietly(config_, run_, false, &screen);
  expect_contains(screen, "\nunchecked   1 shard without a checksum");
  fs::remove_all(run_);
  write_random_shard(folder_ / "train_1.bin", 29, 58, 99);
  EXPECT_EQ(error_line<UserError>([&] { train_quietly(config_, run_); }),
            (folder_ / "train_1.bin").string() +
                ": does not match its checksum in manifest.json: it is damaged or was replaced; restore it or "
                "write it again");
  EXPECT_FALSE(fs::exists(run_));
  replace(folder_ / "manifest.json", "train_0", "train_7");
  expect_contains(error_line<UserError>([&] { train_quietly(config_, run_); }),
                  "manifest.json: does not match its own checksum: it is damaged, cut short or edited; restore it, or");
}

TEST_F(Seals, TheLoserOfARaceChangesNothing) {
  fs::create_directory(run_);
  const std::string held = text(run_.string(), ": another process (", getpid(), ") is training in this run directory");
  {
    const FolderLock other(run_, "");
    expect_contains(error_line<UserError>([&] { train_quietly(config_, run_); }), held);
    EXPECT_TRUE(fs::is_empty(run_));
  }
  train_quietly(config_, run_);
  const FolderLock other(run_, "");
  expect_contains(refused(), held);
  train_quietly(config_, folder_ / "parent");
  fs::create_directory(folder_ / "branch");
  const FolderLock third(folder_ / "branch", "");
  expect_contains(error_line<UserError>([&] {
                    start_branch(folder_ / "parent", folder_ / "branch", folder_.config({{"train", {{"steps", 20}}}}));
                  }),
                  "branch: another process (");
  EXPECT_TRUE(fs::is_empty(folder_ / "branch"));
}

// A branch that was killed while it was being made has a checkpoint but no config.json, like a run that lost its
// config.
TEST_F(Seals, ABranchThatWasKilledIsBegunAgain) {
  train_quietly(config_, run_);
  const fs::path branch = folder_ / "branch";
  const Config longer = folder_.config({{"train", {{"steps", 14}}}});
  fs::create_directory(branch);
  for (const char* part : {"checkpoints", "metrics.jsonl"})
    fs::copy(run_ / part, branch / part, fs::copy_options::recursive);
  append_text(branch / "notes.txt", "mine");
  EXPECT_THROW(start_branch(run_, branch, longer), UserError);
  append_text(branch / "tokenizer.json", "{}");
  append_text(branch / "branch.unfinished", R"(["notes.txt"])");
  start_branch(run_, branch, longer);
  EXPECT_TRUE(fs::exists(branch / "config.json"));
  EXPECT_FALSE(fs::exists(branch / "branch.unfinished"));
  EXPECT_EQ(list_checkpoints(branch).size(), 1u);
  EXPECT_EQ(read_text_file(branch / "notes.txt"), "mine");

  append_text(branch / "branch.unfinished", R"(["notes.txt"])");  // killed right after config.json was written
  EXPECT_EQ(resume_with(longer, branch, {}), 0);
  EXPECT_FALSE(fs::exists(branch / "branch.unfinished"));
  EXPECT_EQ(read_text_file(branch / "notes.txt"), "mine");
}

TEST_F(Seals, TheNextStartClearsWhatAKillLeft) {
  train_quietly(config_, run_);
  const auto names = [&] {
    std::set<fs::path> found;
    for (const auto& entry : fs::recursive_directory_iterator(run_))
      if (!entry.path().filename().string().starts_with("events.")) found.insert(entry.path());
    return found;
  };
  const auto before = names();
  for (const char* left : {"config.json.gptmoe-tmp-99999999-1", "checkpoints/LATEST.gptmoe-tmp-99999999-1"})
    append_text(run_ / left, "half");
  copy_folder(run_ / "checkpoints/step_00000004", run_ / "checkpoints/step_00000012.old");
  fs::create_directory(run_ / "checkpoints/step_00000016.tmp");
  EXPECT_EQ(train_quietly(config_, run_, true), 0);
  EXPECT_EQ(names(), before);
}

}  // namespace
}  // namespace gptmoe::testing
