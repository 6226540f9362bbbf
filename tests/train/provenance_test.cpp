#include "train/provenance.h"

#include <gtest/gtest.h>

#include "distributed/world.h"
#include "records/run_history.h"
#include "support/run_fixture.h"
#include "train/build_info.h"

namespace gptmoe::testing {
namespace {

using nlohmann::ordered_json;

ordered_json history_in(const fs::path& run_dir) {
  return ordered_json::parse(read_text_file(run_dir / "provenance.json")).at("history");
}

std::vector<std::pair<int64_t, std::string>> hosts_in(const fs::path& run_dir) {
  std::vector<std::pair<int64_t, std::string>> out;
  for (const ordered_json& entry : history_in(run_dir)) out.emplace_back(entry["from_step"], entry["host"]);
  return out;
}

using Hosts = std::vector<std::pair<int64_t, std::string>>;

TEST(Provenance, AddsChangesAndDropsThemWhenARunGoesBack) {
  const TemporaryFolder folder;
  record_provenance(folder / "", 0, {{"host", "a"}});
  record_provenance(folder / "", 4, {{"host", "a"}});
  EXPECT_EQ(hosts_in(folder / ""), (Hosts{{0, "a"}}));
  record_provenance(folder / "", 4, {{"host", "b"}});
  record_provenance(folder / "", 8, {{"host", "a"}});
  EXPECT_EQ(hosts_in(folder / ""), (Hosts{{0, "a"}, {4, "b"}, {8, "a"}}));
  record_provenance(folder / "", 6, {{"host", "b"}});
  EXPECT_EQ(hosts_in(folder / ""), (Hosts{{0, "a"}, {4, "b"}}));
  record_provenance(folder / "", 4, {{"host", "c"}});
  EXPECT_EQ(hosts_in(folder / ""), (Hosts{{0, "a"}, {4, "c"}}));
  record_provenance(folder / "", 0, {{"host", "d"}});
  EXPECT_EQ(hosts_in(folder / ""), (Hosts{{0, "d"}}));
}

TEST(Provenance, RefusesAMalformedFile) {
  const TemporaryFolder folder;
  for (const char* bad : {"{", "[]", R"({"history": [{}]})"}) {
    write_text_file(folder / "provenance.json", bad);
    const std::string line = error_line<UserError>([&] { record_provenance(folder / "", 1, {{"host", "a"}}); });
    EXPECT_NE(line.find("provenance.json:"), std::string::npos) << line;
    EXPECT_NE(line.find("; remove it to continue without a record of builds and machines"), std::string::npos) << line;
  }
}

TEST(Provenance, AFileThatCannotBeReadIsNotAMissingOne) {
  const TemporaryFolder folder;
  fs::create_symlink("nowhere", folder / "provenance.json");
  expect_contains(error_line<UserError>([&] {
                    record_provenance(folder / "", 1, {{"host", "a"}});
                  }),
                  "provenance.json: cannot access it: it is a link to nowhere, which does not exist");
  EXPECT_TRUE(fs::is_symlink(folder / "provenance.json"));
}

TEST(Provenance, ARunRecordsItsBuildAndMachineOnce) {
  const RunFolder files;
  const Config config = files.config();
  train_quietly(config, files / "run");
  const ordered_json history = history_in(files / "run");
  ASSERT_EQ(history.size(), 1u);
  EXPECT_EQ(history[0]["from_step"], 0);
  EXPECT_EQ(history[0]["build"]["version"], build_info().version);
  EXPECT_EQ(history[0]["build"]["type"], build_info().type);
  EXPECT_EQ(history[0]["machine"]["host"], make_single_world()->host(0));
  EXPECT_NE(history[0]["machine"]["cpu"], "");
  EXPECT_TRUE(history[0]["machine"]["gpu"].is_null());
  EXPECT_TRUE(history[0]["machine"]["kernels"].is_null());
  EXPECT_GE(history[0]["threads"], 1);
  EXPECT_EQ(history[0]["ranks"], 1);
  train_quietly(config, files / "run", true);  // the run is finished, so nothing is trained
  cut_back(files / "run", 8);
  train_quietly(config, files / "run", true);
  EXPECT_EQ(history_in(files / "run"), history);
}

TEST(Provenance, AResumeElsewhereIsRecordedFromItsStepOn) {
  const RunFolder files;
  const Config config = files.config();
  train_quietly(config, files / "run");
  const fs::path path = files / "run/provenance.json";
  ordered_json record = ordered_json::parse(read_text_file(path));
  const ordered_json here = record["history"][0];
  record["history"][0]["machine"]["host"] = "elsewhere";
  record.erase("checksum");
  write_text_file(path, record.dump());
  train_quietly(config, files / "run", true);
  EXPECT_EQ(history_in(files / "run").size(), 1u) << "a finished run trains nothing";
  cut_back(files / "run", 8);
  train_quietly(config, files / "run", true);
  const ordered_json history = history_in(files / "run");
  ASSERT_EQ(history.size(), 2u);
  EXPECT_EQ(history[0]["machine"]["host"], "elsewhere");
  EXPECT_EQ(history[1]["from_step"], 8);
  EXPECT_EQ(history[1]["machine"], here["machine"]);
}

// A record that cannot be read may be intact, so no message advises to remove it.
TEST(Provenance, ARecordThatCannotBeReadIsNotCalledDamaged) {
  const TemporaryFolder folder;
  for (const char* file : {"provenance.json", "history.json"}) {
    const fs::path path = folder / file;
    fs::create_directory(path);  // opens, but is no file
    const std::string why = error_line<UserError>([&] {
      require_provenance(folder / "");
      read_history(folder / "");
    });
    EXPECT_EQ(why, path.string() + ": not a regular file");
    fs::remove(path);
  }
}

}  // namespace
}  // namespace gptmoe::testing
