#pragma once
// metrics.jsonl, row by row.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/check.h"
#include "base/json.h"
#include "records/metrics_rows.h"

namespace gptmoe {

inline constexpr const char* kMetricsFile = "metrics.jsonl";

using MetricsRow = std::variant<TrainRow, EvalRow, TasksRow, DivergedRow, ThinnedRow>;

// A line of metrics.jsonl.
class MetricsLine {
 public:
  // Throws UserError "PLACE: WHY; repair or remove the line" if the line's seal is broken, or if the line is not an
  // object with "event" and "step". `place` is FILE:LINE. Keeps a reference to `line`.
  MetricsLine(std::string_view line, std::string place);

  const std::string& place() const { return place_; }
  std::string_view line() const { return line_; }  // with its newline
  const std::string& event() const { return event_; }
  int64_t step() const { return step_; }
  std::optional<double> time() const { return time_; }
  // The whole row. Throws UserError, in the form above, if the event is unknown, or a field is missing or has the wrong
  // type.
  MetricsRow row() const;

 private:
  std::string_view line_;
  std::string place_;
  nlohmann::ordered_json json_;
  std::string event_;
  int64_t step_ = 0;
  std::optional<double> time_;
};

// Calls visit(line) for each line of `content` that ends with a newline; `line` includes the newline. A last line
// without a newline is not complete: it is being written, or a crash cut it short. Returns the bytes of the complete
// lines.
template <typename Visit>
size_t for_each_complete_line(std::string_view content, Visit&& visit) {
  size_t begin = 0;
  for (size_t end; (end = content.find('\n', begin)) != std::string_view::npos; begin = end + 1)
    visit(content.substr(begin, end + 1 - begin));
  return begin;
}

// Calls visit(row), with a MetricsLine, for each complete line of `content`, which was read from `file`.
template <typename Visit>
void for_each_row(std::string_view content, const std::filesystem::path& file, Visit&& visit) {
  int64_t number = 0;
  for_each_complete_line(content,
                         [&](std::string_view line) { visit(MetricsLine(line, text(file.string(), ":", ++number))); });
}

}  // namespace gptmoe
