#pragma once
// Disturbs a job once, runs it again as a user would, and judges the outcome.
#include <map>
#include <string>
#include <vector>

#include "base/rng.h"
#include "support/process.h"
#include "support/temporary_folder.h"
#include "support/test_folders.h"
#include "torture/job.h"

namespace gptmoe::torture {

enum class Verdict {
  survived,  // the job failed with one line or was unaffected; in the end its results are right
  lost,      // the job cannot be finished, or its results are wrong in the end
  silent,    // the job ended with exit code 0, but its results are wrong
  crashed,   // a signal, an abort, a hang, or an error that is not one line
  left_over  // as survived, but there are files that an undisturbed job does not leave
};

struct Outcome {
  Verdict verdict = Verdict::survived;
  std::string note;  // why it did not survive
};

enum class Calls { files, memory };

// A fault at one call. `act` is as in support/faults/plan.h: "EIO", "short", "kill", "delay".
struct Fault {
  Calls calls = Calls::files;
  uint64_t at = 0;  // counted from 1
  std::string act;
};

// A change to one file.
struct Damage {
  std::string file;
  std::string kind;  // "flip", "cut", "zero", "extend", "repeat line", "drop line"
  uint64_t seed = 0;
};

class Bench {
 public:
  // Prepares the job's inputs and runs the job undisturbed, with the programs and libraries in the folder `programs`.
  // Throws std::runtime_error if that fails.
  explicit Bench(const Job& job, const std::string& programs = build_folder());

  double seconds() const { return seconds_; }  // the time that the undisturbed job took
  // The names of the undisturbed job's calls, in order, such as "fsync"; every allocation is "new".
  std::vector<std::string> calls(Calls calls);
  Outcome attempt(const Fault& fault);
  // Kills the job after this share of an undisturbed job's time; with `children`, all its processes.
  Outcome kill_after(double share, bool children);
  // Runs the job once with a damaged file. It may refuse the file or ignore the damage.
  Outcome attempt(const Damage& damage);

 private:
  testing::ProcessResult run(const Command& command, const Fault& fault = {}, double kill_seconds = -1,
                             bool children = false);
  // Runs the job's command with its rival, which sets rival_failure_.
  testing::ProcessResult run_job(const Fault& fault, double kill_seconds = -1, bool children = false);
  void restore();
  std::string record() const { return (folder_ / "record").string(); }
  std::string call_names() const { return (folder_ / "calls").string(); }
  std::string disturbed_call() const;  // "fsync PATH"
  Outcome judge(const testing::ProcessResult& result, bool killed, bool memory) const;
  Outcome after(const testing::ProcessResult& result);
  std::string difference() const;  // from the results of the undisturbed job; empty: none

  const Job& job_;
  std::string programs_;
  TemporaryFolder folder_;
  fs::path prepared_, work_;
  std::vector<std::pair<std::string, std::string>> expected_;
  std::string expected_screen_;
  double seconds_ = 0;
  bool hung_ = false;
  std::string rival_failure_;
};

}  // namespace gptmoe::torture
