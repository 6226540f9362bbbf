#pragma once
// Where a benchmark's figures go: tables in Markdown for people, JSON lines for programs.
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "base/file.h"
#include "base/progress.h"
#include "bench/measure.h"

namespace gptmoe {

// A line of a table.
struct BenchRow {
  std::string name, kind, shape;
  Timing timing;
  double flops = 0, bytes = 0, floor = 0;  // of one run; seconds
  double share = -1;                       // of a step; negative: there is none
  int64_t calls = 1;

  // What rates and the ratio to the floor are by: of a step's op the median time, else the fastest.
  double seconds() const { return share >= 0 ? timing.median : timing.fastest; }
};

nlohmann::ordered_json to_json(const BenchRow& row);

class BenchOutput {
 public:
  // `json`: a file; "-": standard output, which then has nothing else; empty: nowhere. Throws UserError where the file
  // cannot be.
  explicit BenchOutput(const std::string& json);

  void say(const std::string& text);
  // `label`: whose they are, where several have their own.
  void say_ceilings(const Ops& ops, const Ceilings& ceilings, const std::string& label = "");
  // The table's head: what the second column holds, and whether there is a share.
  void begin_table(const std::string& kind, bool shares = false);
  void say_row(const BenchRow& row);
  void record(const nlohmann::ordered_json& line);
  // On a terminal.
  void show_progress(const std::string& line) { progress_.show(line); }
  // When all is measured.
  void finish();

 private:
  bool only_json_;
  std::optional<AtomicFile> file_;
  ProgressLine progress_;
};

// Opens a file for what takes long to measure. Throws UserError naming `option` where there can be none.
void open_output(std::optional<AtomicFile>& file, const std::string& option, const std::string& path);

}  // namespace gptmoe
