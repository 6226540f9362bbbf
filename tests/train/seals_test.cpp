// Damage to what a run trusts is named and changes nothing, and two processes never write the same run.
#include <omp.h>

#include <map>
#include <set>

#include "base/checksum.h"
#include "base/lock.h"
#include "base/seal.h"
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

  RunFolder folder_;
  const fs::path run_ = folder_ / "run";
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
  EXPECT_THROW(has_eval_row(run_, 12), UserError);
  write_text_file(rows, good);
  EXPECT_EQ(train_quietly(config_, run_, true), 0);
}

// Every damage to a complete row shows, or leaves the row's values as they were.
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

TEST_F(Seals, RowsThatAreGoneAreNoted) {
  std::string screen;
  train_quietly(config_, run_);
  const auto resume = [&] {
    train_quietly(config_, run_, true, &screen);
    return screen;
  };
  EXPECT_EQ(resume().find("note "), std::string::npos);
  const std::string good = read_text_file(run_ / "metrics.jsonl");
  write_text_file(run_ / "metrics.jsonl", good.substr(0, good.find("\"step\":4")));  // within the fourth row
  expect_contains(resume(),
                  text("note        ", (run_ / "metrics.jsonl").string(), ": has no rows of the steps from 4 to 12\n"));
}

TEST_F(Seals, RowsOfOlderVersionsAreRead) {
  train_quietly(config_, run_);
  std::string rows = read_text_file(run_ / "metrics.jsonl"), older;
  for (size_t at = 0, end; (end = rows.find('\n', at)) != std::string::npos; at = end + 1) {
    json row = json::parse(rows.substr(at, end - at));
    row.erase("checksum");
    older += row.dump() + "\n";
  }
  write_text_file(run_ / "metrics.jsonl", older);
  EXPECT_EQ(train_quietly(config_, run_, true), 0);
  const std::string kept = older.substr(0, older.rfind('\n', older.size() - 2) + 1);  // the last evaluation is repeated
  EXPECT_TRUE(read_text_file(run_ / "metrics.jsonl").starts_with(kept));
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
  expect_contains(error_line<UserError>([&] { require_unedited_config(run_); }),
                  "config.json: has optimizer.learning_rate = 0.5, but ");
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

// The folder holds the checkpoint and no config.json then, like a run that lost its config.
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
