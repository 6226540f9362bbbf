// Rows of metrics.jsonl that were removed, repeated or moved, and a last row that is not complete.
#include "records/row_chain.h"

#include <gtest/gtest.h>

#include "base/check.h"
#include "base/file.h"
#include "base/joined.h"
#include "base/lock.h"
#include "base/seal.h"
#include "report/comparison.h"
#include "report/made_runs.h"
#include "report/run_log.h"
#include "support/temporary_folder.h"

namespace gptmoe {
namespace {

using nlohmann::ordered_json;

// The trainer's rows of steps 1 to `count`, after a row with the checksum `previous`.
std::vector<std::string> chained_rows(int64_t count, std::string previous = "") {
  std::vector<std::string> rows;
  for (int64_t step = 1; step <= count; ++step) {
    ordered_json row = ordered_json::parse(train_line(step, 100 * step, 50));
    row["previous"] = previous;
    rows.push_back(sealed(row.dump()));
    previous = links_of(rows.back()).checksum;
  }
  return rows;
}

std::vector<std::string> problems(const std::vector<std::string>& rows,
                                  const std::optional<SavedRow>& saved = std::nullopt) {
  return chain_problems(joined(rows, ""), "f", saved);
}

std::vector<std::string> broken_at(size_t line) {
  return {text("f:", line, ": rows before this line were removed, repeated or moved; restore the file from a copy")};
}

TEST(RowChain, LinksAreThoseOfTheTrainersRows) {
  const std::vector<std::string> rows = chained_rows(2);
  EXPECT_EQ(links_of(rows[0]).previous, "");
  EXPECT_EQ(links_of(rows[1]).previous, ordered_json::parse(rows[0])["checksum"].get<std::string>());
  const std::string older = train_line(1, 100, 50), sealed_only = sealed(older.substr(0, older.size() - 1));
  EXPECT_FALSE(links_of(older).previous || links_of(sealed_only).previous);
  EXPECT_EQ(links_of(older).checksum, "");
  EXPECT_EQ(links_of(sealed_only).checksum.size(), 16u);
  EXPECT_EQ(links_of("").checksum, "");
}

TEST(RowChain, EveryRowThatIsRemovedRepeatedOrMovedShows) {
  const std::vector<std::string> whole = chained_rows(5);
  EXPECT_TRUE(problems(whole).empty());
  for (size_t i = 0; i < whole.size(); ++i) {
    std::vector<std::string> rows = whole;
    rows.insert(rows.begin() + static_cast<std::ptrdiff_t>(i), rows[i]);
    EXPECT_EQ(problems(rows), broken_at(i + 2)) << "repeated";
    if (i + 1 == whole.size()) break;
    rows = whole;
    rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_EQ(problems(rows), broken_at(i + 1)) << "removed";
    rows = whole;
    std::swap(rows[i], rows[i + 1]);
    EXPECT_EQ(problems(rows), broken_at(i + 1)) << "moved";
  }
}

TEST(RowChain, TheLossOfTheLastRowsShowsByTheCheckpoint) {
  std::vector<std::string> rows = chained_rows(5);
  const SavedRow saved{4, std::string(links_of(rows[3]).checksum)};
  EXPECT_TRUE(problems(rows, saved).empty()) << "rows after the checkpoint are no loss";
  rows.pop_back();
  EXPECT_TRUE(problems(rows, saved).empty());
  const std::vector<std::string> lost = {
      "f: the row that was last when step 4 was saved is gone, and perhaps rows before it; restore the file from a "
      "copy"};
  for (rows.pop_back(); !rows.empty(); rows.pop_back()) EXPECT_EQ(problems(rows, saved), lost);
  EXPECT_EQ(problems({}, saved), lost);
}

TEST(RowChain, RowsOfOlderVersionsHaveNone) {
  const std::string line = train_line(1, 100, 50), older = sealed(line.substr(0, line.size() - 1));
  EXPECT_TRUE(problems({line, line, older, older}).empty());
  std::vector<std::string> rows = {line, older};
  for (const std::string& row : chained_rows(3, std::string(links_of(older).checksum))) rows.push_back(row);
  EXPECT_TRUE(problems(rows).empty()) << "a newer version continued the file";
  rows.push_back(older);
  EXPECT_EQ(problems(rows), broken_at(6)) << "no older version continues a chain";
  rows.erase(rows.begin() + 1);
  EXPECT_EQ(problems(rows), broken_at(2));
  rows = {line};
  for (const std::string& row : chained_rows(1)) rows.push_back(row);
  EXPECT_TRUE(problems(rows).empty()) << "a row without a checksum has none to name";
}

TEST(RowChain, AThinnedFileHasNone) {
  const std::vector<std::string> rows = chained_rows(5);
  EXPECT_TRUE(
      problems({"{\"event\":\"thinned\",\"step\":0,\"train_rows\":5,\"loss_spikes\":0}\n", rows[1], rows[4]}).empty());
}

TEST(RowChain, AReportSaysWhatIsMissing) {
  TemporaryFolder folder;
  const std::filesystem::path dir = folder / "run";
  std::vector<std::string> rows = chained_rows(4);
  const SavedRow saved{4, std::string(links_of(rows[3]).checksum)};
  write_run(dir, joined(rows, ""));
  EXPECT_TRUE(read_run(dir, saved).problems.empty());
  write_run(dir, rows[0] + rows[2] + rows[3]);
  const Comparison comparison = compare({{"run", {read_run(dir, saved)}}});
  const std::string note = (dir / "metrics.jsonl").string() +
                           ":2: rows before this line were removed, repeated or "
                           "moved; restore the file from a copy.";
  EXPECT_EQ(std::count(comparison.notes.begin(), comparison.notes.end(), note), 1);
  write_run(dir, rows[0] + rows[1]);
  EXPECT_EQ(read_run(dir, saved).problems.size(), 1u);
}

TEST(RowChain, AHalfRowIsReportedUnlessAProcessIsWritingIt) {
  TemporaryFolder folder;
  const std::filesystem::path dir = folder / "run";
  const std::vector<std::string> rows = chained_rows(2);
  write_run(dir, rows[0] + rows[1].substr(0, 40));
  const RunLog run = read_run(dir);
  EXPECT_EQ(run.train.size(), 1u);
  ASSERT_EQ(run.problems.size(), 1u);
  EXPECT_TRUE(run.problems[0].starts_with((dir / "metrics.jsonl").string() + ":2: the last row is not complete and is "
                                                                             "left out: "))
      << run.problems[0];
  const FolderLock trained(dir, "");
  EXPECT_TRUE(read_run(dir).problems.empty());
}

TEST(RowChain, AMissingLastEvaluationIsReported) {
  TemporaryFolder folder;
  const auto notes = [&](const std::string& metrics, const std::string& val = R"("val_*.bin")") {
    write_run(folder / "run", metrics, R"({"train": {"steps": 4}, "data": {"val": )" + val + "}}");
    const Comparison comparison = compare({{"run", {read_run(folder / "run")}}});
    return std::count_if(comparison.notes.begin(), comparison.notes.end(), [](const std::string& note) {
      return note.ends_with("has no evaluation of its last step; gptmoe train --resume evaluates it.");
    });
  };
  const std::string rows = eval_line(2, 200, 3, 20) + train_line(4, 400, 50);
  EXPECT_EQ(notes(rows), 1);
  EXPECT_EQ(notes(rows, R"({"wiki": "w_*.bin", "books": "b_*.bin"})"), 1);
  EXPECT_EQ(notes(rows, R"("")"), 0) << "it has no validation data";
  EXPECT_EQ(notes(rows + eval_line(4, 400, 3, 40)), 0);
  EXPECT_EQ(notes(eval_line(2, 200, 3, 20)), 0) << "it is unfinished";
}

}  // namespace
}  // namespace gptmoe
