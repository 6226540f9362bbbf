#pragma once
// A run that `gptmoe watch` shows, while it trains and after.
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/statistics.h"

namespace gptmoe {

enum class RunState {
  training,     // a process trains it
  finished,     // all steps are done, and evaluated if the run has validation data
  interrupted,  // no process trains it; its last steps are saved
  stopped,      // no process trains it; its last steps are not saved, or it has no steps yet
  failed,       // its numbers were not finite
};

// A sequence of numbers of any length, stored in little memory: as means over groups of equal size, a power of two.
class LongCurve {
 public:
  void add(double value);
  // Its means over `points` equal parts, or fewer if there are fewer numbers.
  std::vector<double> means(size_t points) const;

 private:
  std::vector<double> means_;  // each of `stride_` numbers
  size_t stride_ = 1, pending_count_ = 0;
  double pending_ = 0;
};

class WatchedRun {
 public:
  explicit WatchedRun(std::filesystem::path dir) : dir_(std::move(dir)) {}

  // Reads config.json and the rows of metrics.jsonl that are new since the last look, or all of them if the file was
  // truncated or replaced. `saved_step` returns the step of the last checkpoint, negative if there is none; it is
  // called only if the run has not ended and no process trains it. An error in reading becomes problem().
  void look(const std::function<int64_t(const std::filesystem::path&)>& saved_step);

  const std::filesystem::path& dir() const { return dir_; }
  RunState state() const { return state_; }
  // What could not be read, in one line; empty if all could.
  const std::string& problem() const { return problem_; }

  // The number of steps done: from the last row or, if that is later, from the last checkpoint of an interrupted run.
  int64_t step() const { return std::max(rows_.step, saved_step_); }
  int64_t steps() const { return steps_; }
  // From the last rows; NaN if unknown.
  double loss() const { return rows_.loss; }
  double perplexity() const { return rows_.perplexity; }
  double tokens_per_second() const { return rows_.tokens_per_second; }
  double seconds_left() const;
  // When the last row was written, in seconds since 1970.
  double last_written() const { return last_written_; }
  // Dead experts at the last evaluation and all experts, over all layers; 0 experts if unknown.
  int64_t dead_experts() const { return rows_.dead; }
  int64_t experts() const { return rows_.experts; }
  const LongCurve& losses() const { return rows_.losses; }

 private:
  // The contents of the rows before position read_.
  struct Rows {
    int64_t lines = 0, step = 0, eval_step = 0, tokens = 0, dead = 0, experts = 0;
    double loss = kUnknown, perplexity = kUnknown, tokens_per_second = kUnknown, time = 0;
    bool diverged = false;
    LongCurve losses;
  };

  void read_config();
  void read_new_rows();
  bool is_continued(int fd, int64_t size) const;
  void take(std::string_view line);

  std::filesystem::path dir_;
  RunState state_ = RunState::stopped;
  std::string problem_;
  int64_t steps_ = 0;
  bool validates_ = false;
  int64_t saved_step_ = 0;  // of the last checkpoint, if the run can be resumed; else 0
  double last_written_ = 0;
  Rows rows_;
  int64_t read_ = 0;       // bytes of metrics.jsonl, whole lines
  std::string last_line_;  // the last of those lines
  std::string row_problem_;
};

}  // namespace gptmoe
