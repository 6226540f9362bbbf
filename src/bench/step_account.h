#pragma once
// A complete breakdown of a step's time, measured in steps that are run op by op. It lists the time of every op. The
// remaining time is the host's work, including the timing, and the device's idle time. The breakdown also says how much
// longer these steps took than ordinary steps.
#include "bench/output.h"
#include "bench/step_run.h"

namespace gptmoe {

class AccountTable {
 public:
  // Uses the round whose accounted steps took the median time; fastest times are over all rounds. `run` must outlive
  // the table.
  explicit AccountTable(const StepRun& run);

  // Prints the parts, then the ops, longest first.
  void say(BenchOutput& output) const;
  // "account": step_us, undisturbed_step_us, cost, floor_us, the ceilings and a row for each of "parts"; "ops": rows.
  nlohmann::ordered_json json() const;

 private:
  // The time that timing op by op adds to a step, as a share of the median ordinary step.
  double cost() const;

  struct PartRow {
    std::string name;
    double seconds = 0, floor = 0;
  };

  const StepRun& run_;
  double step_seconds_, floor_ = 0;
  std::vector<PartRow> parts_;
  std::vector<BenchRow> ops_;
};

}  // namespace gptmoe
