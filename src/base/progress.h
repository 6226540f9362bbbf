#pragma once
// Progress for the user: one line redrawn in place on a terminal, nothing in a pipe.
#include <chrono>
#include <cstdint>
#include <string>

namespace gptmoe {

// The name of an environment variable that holds the width of the terminal behind standard error, or 0 if there is no
// terminal. It is for processes that cannot see that terminal themselves.
constexpr const char* kTerminalColumns = "GPTMOE_TERMINAL_COLUMNS";

struct TerminalSize {
  int columns = 0, rows = 0;
};
// The size of the terminal behind an open file; zeros: not a terminal.
TerminalSize terminal_size(int fd);

// Width of the terminal on standard error, where progress lines are drawn; 0: not a terminal.
int terminal_columns();
inline bool terminal_attached() { return terminal_columns() > 0; }

class ProgressLine {
 public:
  ProgressLine();
  ~ProgressLine();  // leaves the terminal on a fresh line
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  // Redraws at most ten times a second, truncated to the terminal's width.
  void show(const std::string& line);
  // Erases the progress line so that ordinary output can follow.
  void clear();
  bool live() const { return live_; }

 private:
  bool live_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_{};
};

// Says what fraction of a job is done, and how long the rest will take at the pace since this object was made.
class JobClock {
 public:
  // `done`: the part of the job that was finished earlier, which does not count towards the pace.
  explicit JobClock(int64_t done = 0) : begun_at_(done) {}

  double seconds() const;
  // "41 %, 3:05 left"; "41 %" until there is a pace; empty if the total is unknown (0).
  std::string state(int64_t done, int64_t total) const { return state(done, total, seconds()); }
  std::string state(int64_t done, int64_t total, double seconds) const;

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  int64_t begun_at_;
};

// "1.25 G", "310 k", "42": three significant digits with a metric prefix.
std::string metric_count(double value);
// "3.5 GiB", "310 MiB".
std::string binary_bytes(int64_t bytes);
// "1:02:03", "4:05".
std::string clock_time(double seconds);
// "12,345,678".
std::string grouped_digits(int64_t value);
// "1 document", "2,000 documents".
std::string plural(int64_t count, const std::string& noun);

}  // namespace gptmoe
