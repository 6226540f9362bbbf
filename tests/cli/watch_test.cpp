// gptmoe watch and report --watch beside runs that train, and commands on folders of runs.
#include <stdlib.h>
#include <sys/ioctl.h>

#include <optional>

#include "cli/cli_fixture.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

// The program with a terminal as its standard output.
class OnTerminal {
 public:
  OnTerminal(const fs::path& folder, std::vector<std::string> arguments, int rows, int columns) {
    terminal_ = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    grantpt(terminal_);
    unlockpt(terminal_);
    winsize size{};
    size.ws_row = static_cast<unsigned short>(rows);
    size.ws_col = static_cast<unsigned short>(columns);
    ioctl(terminal_, TIOCSWINSZ, &size);
    fcntl(terminal_, F_SETFL, O_NONBLOCK);
    const std::string name = ptsname(terminal_);
    arguments.insert(arguments.begin(),
                     {"/bin/sh", "-c", "exec \"$0\" \"$@\" >" + name + " 2>" + name, gptmoe_binary()});
    process_.emplace(folder, arguments);
  }
  ~OnTerminal() { close(terminal_); }

  // What the program has printed so far.
  const std::string& screen() {
    char bytes[4096];
    for (ssize_t n; (n = read(terminal_, bytes, sizeof bytes)) > 0;) screen_.append(bytes, static_cast<size_t>(n));
    return screen_;
  }
  bool shows(const std::string& part, size_t from = 0) { return screen().find(part, from) != std::string::npos; }
  Process& process() { return *process_; }

 private:
  int terminal_ = -1;
  std::optional<Process> process_;
  std::string screen_;
};

class Watching : public CommandLine {
 protected:
  void SetUp() override {
    write_config("topk.json");
    write_config("default.json", {{"router", {{"type", "default"}}}});
    fs::create_directory(files_ / "aside");
  }
  // The command of a run that trains while other commands watch.
  std::vector<std::string> endless(const std::string& out) const {
    return {gptmoe_binary(),       "train", "topk.json",         "--out", out, "--set",
            "train.steps=1000000", "--set", "checkpoint.every=0"};
  }
  bool has_rows(const std::string& run) const {
    std::error_code none;
    const auto bytes = fs::file_size(files_ / run / "metrics.jsonl", none);
    return !none && bytes > 2000;
  }
  // Runs gptmoe in the folder aside/ while another process runs in this folder, and returns what it prints.
  std::string aside(const std::vector<std::string>& arguments, int exit_code = 0) {
    const ProcessResult result = run_gptmoe(files_ / "aside", arguments);
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    for (const char* control : {"\r", "\033"}) EXPECT_EQ(result.out.find(control), std::string::npos);
    return result.out;
  }
  json report(const std::string& folder) { return json::parse(read_text_file(files_ / folder / "report.json")); }
};

// The line of the table that begins with `name`.
std::string line_of(const std::string& table, const std::string& name) {
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(name + " ")) return line;
  return "";
}

TEST_F(Watching, ShowsRunsAndThatOneWasKilled) {
  succeed({"train", "default.json", "--out", "runs/done"});
  Process training(folder(), endless("runs/now"));
  training.wait_until([&] { return has_rows("runs/now"); });
  const std::string during = aside({"watch", "../runs"});
  for (const char* part : {" finished ", " 12/12 ", "▁"}) expect_contains(line_of(during, "done"), part);
  for (const char* part : {" training ", "/1000000 "}) expect_contains(line_of(during, "now"), part);
  training.kill(SIGKILL);
  training.wait();
  expect_contains(line_of(aside({"watch", "../runs", "--once"}), "now"), " stopped for ");
  fail(run_gptmoe(files_ / "aside", {"watch", "."}), 2, {".: holds no run; pass a run's folder"});
}

TEST_F(Watching, WhatCannotBeReadHidesNoRunBesideIt) {
  fs::create_directory_symlink("unmounted", files_ / "link");
  refuse({"watch", "link"}, {"link: cannot access it: it is a link to unmounted, which does not exist"});
  refuse({"train", "topk.json", "--out", "link", "--resume"}, {"link: cannot access it"});
  succeed({"train", "default.json", "--out", "runs/done"});
  fs::create_directory(files_ / "runs/lost");
  fs::create_symlink("config.json", files_ / "runs/lost/config.json");
  const std::string table = succeed({"watch", "runs"}).out, why = "runs/lost/config.json: cannot access it: ";
  EXPECT_TRUE(table.starts_with(why)) << table;
  expect_contains(line_of(table, "done"), " finished ");
  expect_contains(succeed({"report", "runs"}).out, "note        left out: " + why);
}

TEST_F(Watching, RedrawsOnATerminalUntilCtrlC) {
  OnTerminal watch(files_ / "aside", {"watch", "../runs"}, 24, 100);
  watch.process().wait_until([&] { return watch.shows("../runs: holds no run"); });
  Process training(folder(), endless("runs/now"));
  watch.process().wait_until([&] { return watch.shows(" training "); });
  EXPECT_TRUE(watch.shows("\033[1A\033[J")) << "the line without a run is replaced";
  training.kill(SIGINT);
  EXPECT_EQ(training.wait().exit_code, 130);
  watch.process().wait_until([&] { return watch.shows(" interrupted "); });
  const size_t seen = watch.screen().size();
  fs::remove_all(files_ / "runs/now");
  watch.process().wait_until([&] { return watch.shows("holds no run", seen); });
  watch.process().kill(SIGINT);
  EXPECT_EQ(watch.process().wait().exit_code, 130);
  std::istringstream lines(watch.screen());
  for (std::string line; std::getline(lines, line);) EXPECT_LT(line.size(), 200u) << "cut to the terminal: " << line;
}

TEST_F(Watching, AReportIsWrittenAgainUntilCtrlC) {
  Process training(folder(), endless("runs/now"));
  training.wait_until([&] { return has_rows("runs/now"); });
  Process report(files_ / "aside", {gptmoe_binary(), "report", "--watch=1", "../runs/now", "--out", "page"});
  const fs::path page = files_ / "aside/page/report.html";
  report.wait_until([&] { return fs::exists(page); });
  expect_contains(read_text_file(page), "<meta http-equiv=\"refresh\" content=\"1\">");
  const auto first = fs::last_write_time(page);
  report.wait_until([&] { return fs::last_write_time(page) != first; });
  report.kill(SIGINT);
  const ProcessResult result = report.wait();
  EXPECT_EQ(result.exit_code, 130) << result.err;
  expect_contains(result.out, "report      page/report.html");
  EXPECT_EQ(read_text_file(page).find("http-equiv"), std::string::npos) << "the last report does not load itself again";
}

TEST_F(Watching, AReportOfTheFolderOfAComparison) {
  succeed({"compare", "default.json", "topk.json", "--seeds", "2", "--out", "both"});
  succeed({"report", "both", "--out", "again"});
  const json arms = report("again")["arms"];
  ASSERT_EQ(arms.size(), 2u);
  EXPECT_EQ(arms[0]["label"], "topk") << "the baseline";
  EXPECT_EQ(arms[1]["label"], "default");
  EXPECT_EQ(arms[1]["runs"].size(), 2u);
  refuse({"report", "aside"}, {"aside: holds no run"});
}

TEST_F(Watching, AReportOfASweepIsThatOfCompare) {
  succeed({"compare", "topk.json", "default.json", "--sweep", "optimizer.learning_rate=1e-3,2e-3", "--out", "grid"});
  succeed({"report", "grid", "--out", "again"});
  json before = report("grid")["sweep"], again = report("again")["sweep"];
  ASSERT_EQ(before["points"].size(), 4u);
  ASSERT_EQ(again["points"].size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(again["points"][i]["config"], before["points"][i]["config"]);
    EXPECT_EQ(again["points"][i]["best"], before["points"][i]["best"]);
  }
}

TEST_F(Watching, AnEvaluationOfAllRunsOfAFolder) {
  succeed({"compare", "topk.json", "default.json", "--out", "both"});
  const std::string out = succeed({"eval", "both", "--tokens", "28"}).out;
  const size_t topk = out.find("both/topk/seed_1/checkpoints/step_00000012: loss ");
  const size_t second = out.find("both/default/seed_1/checkpoints/step_00000012: loss ");
  EXPECT_NE(second, std::string::npos) << out;
  EXPECT_LT(topk, second);
  fs::remove_all(files_ / "both/default/seed_1/checkpoints");
  refuse({"eval", "both"}, {"both/default/seed_1"});
  refuse({"eval", "aside"}, {"aside: neither a run's folder"});
  fs::create_symlink("loop", files_ / "loop");
  refuse({"eval", "loop"}, {"loop: cannot access it: Too many levels"});
}

// The table of the jobs, on a terminal.
TEST_F(Watching, JobsOfACompareShowTheirLosses) {
  const std::vector<std::string> command = {
      "compare", "../topk.json",       "../default.json", "--jobs", "2", "--set", "train.steps=100000",
      "--set",   "checkpoint.every=0", "--out",           "jobs"};
  OnTerminal compare(files_ / "aside", command, 24, 120);
  const auto trains = [&] {
    const std::string& screen = compare.screen();
    const size_t row = screen.rfind("topk, seed 1 ");
    return row != std::string::npos && screen.find("/100000  ", row) < screen.find('\n', row);
  };
  compare.process().wait_until(trains);
  expect_contains(compare.screen(), "run 2 of 2, ");
  compare.process().kill(SIGINT);
  EXPECT_EQ(compare.process().wait().exit_code, 130);
  EXPECT_TRUE(compare.shows("stopped     topk, seed 1: loss "));
}

}  // namespace
}  // namespace gptmoe::testing
