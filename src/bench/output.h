#pragma once
// The output of a benchmark: Markdown tables for people, JSON lines for programs.
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "base/file.h"
#include "base/progress.h"
#include "bench/measure.h"

namespace gptmoe {

// A row of a table.
struct BenchRow {
  std::string name, kind, shape;
  Timing timing;
  double flops = 0, bytes = 0, floor = 0;  // per run; floor: Ceilings::floor_of(), in seconds
  double share = -1;                       // of a step's time; negative: not a part of a step
  int64_t calls = 1;
  double predicted = 0;  // seconds, before anything was measured; 0: no prediction

  // The time that a row's rates and its time/floor are computed from: the median for a step's ops, else the fastest.
  double seconds() const { return share >= 0 ? timing.median : timing.fastest; }
};

nlohmann::ordered_json to_json(const BenchRow& row);

class BenchOutput {
 public:
  // `json` is the file for the JSON lines. "-" means standard output, and then nothing else is printed there; empty
  // means no JSON. Throws UserError if the file cannot be written.
  explicit BenchOutput(const std::string& json);

  void say(const std::string& text);
  // `label`: the config's name, if the rates were measured for each of several configs.
  void say_ceilings(const Ops& ops, const Ceilings& ceilings, const std::string& label = "");
  // Begins a table. `kind` is the heading of its second column. `shares` and `predictions` add columns of shares and of
  // predicted times.
  void begin_table(const std::string& kind, bool shares = false, bool predictions = false);
  void say_row(const BenchRow& row);
  void record(const nlohmann::ordered_json& line);
  // Shows the line on a terminal, and nothing elsewhere.
  void show_progress(const std::string& line) { progress_.show(line); }
  // Call it after the last measurement.
  void finish();

 private:
  bool only_json_, predictions_ = false;
  std::optional<AtomicFile> file_;
  ProgressLine progress_;
};

}  // namespace gptmoe
