#pragma once
#include <cstdio>
#include <string>
#include <vector>

namespace gptmoe {

// Lines that are redrawn in place on a terminal, and not shown elsewhere. Print nothing else to the terminal between
// show() and clear().
class LiveLines {
 public:
  // `file` is standard output or standard error.
  explicit LiveLines(std::FILE* file);
  LiveLines(const LiveLines&) = delete;
  LiveLines& operator=(const LiveLines&) = delete;

  bool live() const { return live_; }
  // Replaces the lines on the terminal with these, truncated to its width and height. They stay when the object ends.
  void show(const std::vector<std::string>& lines);
  // Erases the lines.
  void clear();

 private:
  void go_back();

  std::FILE* file_;
  bool live_;
  size_t drawn_ = 0;
};

}  // namespace gptmoe
