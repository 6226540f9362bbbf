#include "bench/output.h"

#include <array>
#include <cstdio>

#include "base/check.h"
#include "base/json.h"
#include "base/output_file.h"
#include "report/number_text.h"

namespace gptmoe {
namespace {

using Cells = std::vector<std::string>;

// Names are left-aligned, numbers right-aligned.
constexpr size_t kNameColumns = 3;
constexpr std::array<size_t, 11> kWidths = {30, 15, 16, 10, 10, 8, 8, 10, 10, 12, 7};

std::string table_line(const Cells& cells) {
  std::string line = "|";
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string pad(kWidths[i] - std::min(kWidths[i], cells[i].size()), ' ');
    line += " " + (i < kNameColumns ? cells[i] + pad : pad + cells[i]) + " |";
  }
  return line + "\n";
}

std::string microseconds(double seconds) { return fixed(seconds * 1e6, 1); }

}  // namespace

nlohmann::ordered_json to_json(const BenchRow& row) {
  const double seconds = row.seconds();
  nlohmann::ordered_json json{{"name", row.name},
                              {"kind", row.kind},
                              {"shape", row.shape},
                              {"us", row.timing.fastest * 1e6},
                              {"median_us", row.timing.median * 1e6},
                              {"flops", row.flops},
                              {"bytes", row.bytes},
                              {"flops_per_second", row.flops / seconds},
                              {"bytes_per_second", row.bytes / seconds},
                              {"floor_us", row.floor * 1e6},
                              {"time_to_floor", seconds / row.floor}};
  if (row.predicted > 0) json["predicted_us"] = row.predicted * 1e6;
  if (row.share >= 0) json["calls"] = row.calls, json["share"] = row.share;
  return json;
}

BenchOutput::BenchOutput(const std::string& json) : only_json_(json == "-") {
  if (!only_json_) open_output(file_, "--json", json);
}

void BenchOutput::say(const std::string& text) {
  progress_.clear();
  if (only_json_) return;
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

void BenchOutput::say_ceilings(const Ops& ops, const Ceilings& ceilings, const std::string& label) {
  say(text(label, label.empty() ? "" : ": ", ops.describe(), "; large matrix products ",
           fixed(ceilings.flops * 1e-12, 3), " TFLOP/s, large copies ", fixed(ceilings.bytes * 1e-9, 1), " GB/s\n"));
}

void BenchOutput::begin_table(const std::string& kind, bool shares, bool predictions) {
  predictions_ = predictions;
  Cells head = {"name", kind, "shape", "us", "median us", "TFLOP/s", "GB/s", "floor us", "time/floor"};
  std::string rule = "|---|---|---|---:|---:|---:|---:|---:|---:|";
  if (predictions) head.push_back("predicted us"), rule += "---:|";
  if (shares) head.push_back("share %"), rule += "---:|";
  say("\n" + table_line(head) + rule + "\n");
}

void BenchOutput::say_row(const BenchRow& row) {
  const double seconds = row.seconds();
  Cells cells = {row.name,
                 row.kind,
                 row.shape,
                 microseconds(row.timing.fastest),
                 microseconds(row.timing.median),
                 row.flops > 0 ? fixed(row.flops / seconds * 1e-12, 3) : "-",
                 fixed(row.bytes / seconds * 1e-9, 1),
                 microseconds(row.floor),
                 fixed(seconds / row.floor, 2)};
  if (predictions_) cells.push_back(microseconds(row.predicted));
  if (row.share >= 0) cells.push_back(fixed(100 * row.share, 1));
  say(table_line(cells));
}

void BenchOutput::record(const nlohmann::ordered_json& line) {
  const std::string written = line.dump() + "\n";
  if (file_) file_->write(written);
  if (!only_json_) return;
  progress_.clear();
  std::fputs(written.c_str(), stdout);
  std::fflush(stdout);
}

void BenchOutput::finish() {
  progress_.clear();
  if (file_) file_->commit();
}

}  // namespace gptmoe
