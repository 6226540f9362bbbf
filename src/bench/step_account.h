#pragma once
// Where the time of a step goes, as an account that adds up: every op's time in accounted steps, and what is left of
// the steps as a run takes them. That rest is the host's work and a device's idle time, and negative where timing op by
// op costs more than it.
#include "bench/output.h"
#include "bench/step_run.h"

namespace gptmoe {

class AccountTable {
 public:
  // Of the round whose steps took the median time; fastest times are over all rounds. `run` must outlive it.
  explicit AccountTable(const StepRun& run);

  // The parts, then the ops, longest first.
  void say(BenchOutput& output) const;
  // "account": step_us, accounted_step_us, floor_us, the ceilings and a row for each of "parts"; "ops": rows.
  nlohmann::ordered_json json() const;

 private:
  struct PartRow {
    std::string name;
    double seconds = 0, floor = 0;
  };

  const StepRun& run_;
  double step_seconds_, accounted_step_seconds_, floor_ = 0;
  std::vector<PartRow> parts_;
  std::vector<BenchRow> ops_;
};

}  // namespace gptmoe
