#pragma once
// All attempts on the jobs, and a file of their outcomes. A stopped campaign continues from that file.
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/descriptor.h"
#include "torture/bench.h"

namespace gptmoe::torture {

struct Campaign {
  std::string programs = build_folder();
  std::vector<std::string> acts = {"EIO", "ENOSPC", "EACCES", "EINTR", "short", "delay", "kill"};
  // Disturb every n-th file call and every n-th call stack that allocates memory; 0: none.
  uint64_t stride = 1, memory_stride = 1;
  uint64_t kills = 100, damages = 300;  // for each job
  uint64_t seed = 1;                    // of the kills and damages
  int parallel = 1;                     // attempts at a time
};

// Whether the C library's function `call` can fail with this error, or transfer a part ("short"). Every call can
// fail with EIO, be the last one before a kill, or be late.
bool applies(const std::string& act, const std::string& call);

// One disturbance of a job.
struct Attempt {
  std::string kind;  // an act of Campaign, "memory", "random kill" or "damage"
  uint64_t n = 0;    // the call; with a random kill or damage, seed * 1'000'000 + its number
  auto operator<=>(const Attempt&) const = default;
};

// The attempts of the campaign on the job of `bench`.
std::vector<Attempt> attempts(const Campaign& campaign, const Job& job, Bench& bench);
Outcome carry_out(const Attempt& attempt, const Job& job, Bench& bench);

// The outcomes in a file, one line each: job, kind, n, verdict and note, with tabs between them. Several processes may
// add to one file.
class Outcomes {
 public:
  // Reads the file if it exists. With `retry`, attempts that did not survive count as not made.
  Outcomes(const fs::path& file, bool retry);

  bool has(const std::string& job, const Attempt& attempt) const;
  void add(const std::string& job, const Attempt& attempt, const Outcome& outcome);  // any thread may call it
  // A Markdown row for each of these jobs that has outcomes, and their total; then a line for each finding.
  std::string table(const std::vector<Job>& jobs) const;
  // How many attempts were lost, silent or crashed.
  int bad() const;

 private:
  std::string path_;
  Descriptor file_;
  mutable std::mutex mutex_;
  std::map<std::string, std::map<Attempt, Outcome>> outcomes_;  // by job
};

}  // namespace gptmoe::torture
