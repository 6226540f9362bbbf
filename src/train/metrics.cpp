#include "train/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/file.h"

namespace gptmoe {
namespace {

using nlohmann::json;

std::filesystem::path metrics_path(const std::filesystem::path& run_dir) { return run_dir / "metrics.jsonl"; }

// Calls visit(line, row) for every complete row; a last line cut short by a crash is passed over.
template <typename Visit>
void for_each_row(const std::filesystem::path& path, Visit&& visit) {
  if (!std::filesystem::exists(path)) return;
  const std::string content = read_text_file(path);
  size_t begin = 0;
  for (int64_t number = 1; begin < content.size(); ++number) {
    const size_t end = content.find('\n', begin);
    if (end == std::string::npos) return;
    const std::string_view line(content.data() + begin, end - begin + 1);
    const json row = json::parse(line, nullptr, false);
    if (!row.is_object() || !row.contains("event") || !row.contains("step") || !row["step"].is_number_integer())
      user_error(path.string(), ":", number, ": not a row of metrics; remove the line");
    visit(line, row);
    begin = end + 1;
  }
}

bool known_to_checkpoint(const json& row, int64_t step) {
  const auto at = row["step"].get<int64_t>();
  return row["event"] == "eval" ? at < step : at <= step;
}

json finite_or_null(double value) { return std::isfinite(value) ? json(value) : json(); }

json finite_or_nulls(const std::vector<double>& values) {
  json out = json::array();
  for (const double value : values) out.push_back(finite_or_null(value));
  return out;
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

nlohmann::ordered_json communication_json(const Communication& communication) {
  nlohmann::ordered_json out;
  for (size_t i = 0; i < kTrafficNames.size(); ++i) {
    const TrafficCost& cost = communication.step[i];
    if (cost.calls == 0) continue;
    out[kTrafficNames[i]] = {{"bytes", cost.bytes}};
    if (communication.timed) out[kTrafficNames[i]]["seconds"] = cost.seconds;
  }
  return out;
}

}  // namespace

MetricsFile::MetricsFile(const std::filesystem::path& run_dir, int64_t step) : path_(metrics_path(run_dir)) {
  std::string kept;
  for_each_row(path_, [&](std::string_view line, const json& row) {
    if (step > 0 && known_to_checkpoint(row, step)) kept += line;
  });
  write_text_file(path_, kept);
  fd_ = open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (fd_ < 0) throw Failure(text(path_.string(), ": cannot open for appending: ", std::strerror(errno)));
}

MetricsFile::~MetricsFile() { close(fd_); }

void MetricsFile::train(const Progress& progress, const StepResult& result, double lr, double tokens_per_second,
                        double mfu, const std::optional<Communication>& communication) {
  nlohmann::ordered_json row;
  row["event"] = "train";
  row["step"] = progress.step;
  row["tokens"] = progress.tokens;
  row["loss"] = finite_or_null(result.loss);
  row["lr"] = lr;
  row["grad_norm"] = finite_or_null(result.grad_norm);
  row["tokens_per_second"] = tokens_per_second;
  row["mfu"] = mfu;
  if (!result.load_balance_loss.empty()) {
    row["load_balance_loss"] = finite_or_null(mean(result.load_balance_loss));
    row["load_balance_loss_by_layer"] = finite_or_nulls(result.load_balance_loss);
    row["expert_load_max"] = result.expert_load_max;
    row["expert_load_min"] = result.expert_load_min;
  }
  if (communication) row["communication"] = communication_json(*communication);
  row["seconds"] = progress.seconds;
  append(row);
}

void MetricsFile::eval(const Progress& progress, const EvalResult& result) {
  nlohmann::ordered_json row;
  row["event"] = "eval";
  row["step"] = progress.step;
  row["tokens"] = progress.tokens;
  row["val_loss"] = finite_or_null(result.loss);
  row["val_perplexity"] = finite_or_null(result.perplexity);
  row["seconds"] = progress.seconds;
  if (!result.expert_load.empty()) {
    row["expert_load"] = result.expert_load;
    row["router_entropy"] = result.router_entropy;
    row["load_balance_loss_by_layer"] = finite_or_nulls(result.load_balance_loss);
    if (!result.fill_share.empty()) row["fill_share"] = finite_or_nulls(result.fill_share);
  }
  append(row);
}

void MetricsFile::diverged(const Progress& progress) {
  append(
      {{"event", "diverged"}, {"step", progress.step + 1}, {"tokens", progress.tokens}, {"seconds", progress.seconds}});
}

void MetricsFile::append(const nlohmann::ordered_json& row) {
  const std::string line = row.dump() + "\n";
  // A disk that fills up takes the beginning of the line and gives its reason to the next write.
  for (size_t done = 0; done < line.size();) {
    const ssize_t n = write(fd_, line.data() + done, line.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Failure(text(path_.string(), ": cannot append: ", std::strerror(errno)));
    done += static_cast<size_t>(n);
  }
}

void MetricsFile::sync() {
  if (fsync(fd_) != 0) throw Failure(text(path_.string(), ": cannot flush to disk: ", std::strerror(errno)));
}

bool has_eval_row(const std::filesystem::path& run_dir, int64_t step) {
  bool found = false;
  for_each_row(metrics_path(run_dir), [&](std::string_view, const json& row) {
    found = found || (row["event"] == "eval" && row["step"] == step);
  });
  return found;
}

int64_t last_logged_step(const std::filesystem::path& run_dir) {
  std::ifstream file(metrics_path(run_dir), std::ios::ate);
  if (!file) return 0;
  constexpr int64_t kTail = 1 << 17;  // more than an evaluation has, of many layers and experts
  file.seekg(std::max<int64_t>(0, static_cast<int64_t>(file.tellg()) - kTail));
  int64_t step = 0;
  for (std::string line; std::getline(file, line);) {
    const json row = json::parse(line, nullptr, false);
    if (row.is_object()) step = row.value("step", step);
  }
  return step;
}

bool has_diverged(const std::filesystem::path& run_dir) {
  bool found = false;
  for_each_row(metrics_path(run_dir), [&](std::string_view, const json& row) { found = row["event"] == "diverged"; });
  return found;
}

}  // namespace gptmoe
