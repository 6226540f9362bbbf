#pragma once
// What a person watches: one line redrawn in place on a terminal, nothing at all in a pipe.
#include <chrono>
#include <cstdint>
#include <string>

namespace gptmoe {

// True when standard error is a terminal, where live lines go.
bool terminal_attached();

class ProgressLine {
 public:
  ProgressLine();
  ~ProgressLine();  // leaves the terminal on a fresh line
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  // Redraws at most ten times a second, cut to the terminal's width.
  void show(const std::string& line);
  // Erases the live line so that ordinary output can follow.
  void clear();
  bool live() const { return live_; }

 private:
  bool live_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_{};
};

// "1.25 G", "310 k", "42": three significant digits with a metric prefix.
std::string metric_count(double value);
// "3.5 GiB", "310 MiB".
std::string binary_bytes(int64_t bytes);
// "1:02:03", "4:05".
std::string clock_time(double seconds);
// "12,345,678".
std::string grouped_digits(int64_t value);

}  // namespace gptmoe
