#include "train/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <numeric>

#include "base/read_json.h"
#include "records/metrics_rows.h"
#include "records/record_json.h"

namespace gptmoe {
namespace {

std::filesystem::path metrics_path(const std::filesystem::path& run_dir) { return run_dir / "metrics.jsonl"; }

// The fields that every row has; reports read the rest.
struct RowHead {
  std::string event;
  int64_t step = 0;
};

template <typename Visitor, Is<RowHead> Row>
void visit_fields(Visitor& visitor, Row& row) {
  visitor.field("event", row.event, "");
  visitor.field("step", row.step, "");
}

RowHead read_head(std::string_view line, const std::string& place) {
  return with_remedy("remove the line",
                     [&] { return read_record<RowHead>(parse_json_line<nlohmann::ordered_json>(line, place), place); });
}

// Calls visit(line, head) for every complete row; skips a last line that a crash cut short.
template <typename Visit>
void for_each_row(const std::filesystem::path& path, Visit&& visit) {
  if (!std::filesystem::exists(path)) return;
  const std::string content = read_text_file(path);
  size_t begin = 0;
  for (int64_t number = 1; begin < content.size(); ++number) {
    const size_t end = content.find('\n', begin);
    if (end == std::string::npos) return;
    const std::string_view line(content.data() + begin, end - begin + 1);
    visit(line, read_head(line, text(path.string(), ":", number)));
    begin = end + 1;
  }
}

bool known_to_checkpoint(const RowHead& row, int64_t step) {
  return row.event == EvalRow::kEvent ? row.step < step : row.step <= step;
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

Named<TrafficRow> traffic_rows(const Communication& communication) {
  Named<TrafficRow> rows;
  for (size_t i = 0; i < kTrafficNames.size(); ++i) {
    const TrafficCost& cost = communication.step[i];
    if (cost.calls == 0) continue;
    TrafficRow& row = rows.emplace_back(kTrafficNames[i], TrafficRow{cost.bytes, std::nullopt}).second;
    if (communication.timed) row.seconds = cost.seconds;
  }
  return rows;
}

template <typename Row>
std::string line_of(const Row& row) {
  RecordWriter writer;
  writer.field("event", std::string(Row::kEvent), "");
  visit_fields(writer, row);
  return writer.take().dump() + "\n";
}

}  // namespace

MetricsFile::MetricsFile(const std::filesystem::path& run_dir, int64_t step) : path_(metrics_path(run_dir)) {
  std::string kept;
  for_each_row(path_, [&](std::string_view line, const RowHead& row) {
    if (step > 0 && known_to_checkpoint(row, step)) kept += line;
  });
  write_text_file(path_, kept);
  fd_ = open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (fd_ < 0) throw Failure(text(path_.string(), ": cannot open for appending: ", std::strerror(errno)));
}

MetricsFile::~MetricsFile() { close(fd_); }

void MetricsFile::train(const Progress& progress, const StepResult& result, double lr, double tokens_per_second,
                        double mfu, const std::optional<Communication>& communication) {
  TrainRow row;
  row.step = progress.step;
  row.tokens = progress.tokens;
  row.loss = result.loss;
  row.lr = lr;
  row.grad_norm = result.grad_norm;
  row.tokens_per_second = tokens_per_second;
  row.mfu = mfu;
  if (!result.load_balance_loss.empty()) {
    row.load_balance_loss = mean(result.load_balance_loss);
    row.load_balance_loss_by_layer = result.load_balance_loss;
    row.expert_load_max = result.expert_load_max;
    row.expert_load_min = result.expert_load_min;
  }
  if (communication) row.communication = traffic_rows(*communication);
  row.seconds = progress.seconds;
  append(line_of(row));
}

void MetricsFile::eval(const Progress& progress, const EvalResult& result) {
  EvalRow row;
  row.step = progress.step;
  row.tokens = progress.tokens;
  row.val_loss = result.loss;
  row.seconds = progress.seconds;
  row.expert_load = result.expert_load;
  row.router_entropy = result.router_entropy;
  row.load_balance_loss_by_layer = result.load_balance_loss;
  row.fill_share = result.fill_share;
  append(line_of(row));
}

void MetricsFile::diverged(const Progress& progress) {
  append(line_of(DivergedRow{progress.step + 1, progress.tokens, progress.seconds}));
}

void MetricsFile::append(const std::string& line) {
  // When the disk fills up, the first write takes the start of the line and the next one reports the reason.
  for (size_t done = 0; done < line.size();) {
    const ssize_t n = write(fd_, line.data() + done, line.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Failure(text(path_.string(), ": cannot append: ", std::strerror(errno)));
    done += static_cast<size_t>(n);
  }
  require_still_there(fd_, path_);
}

void MetricsFile::sync() {
  require_still_there(fd_, path_);
  if (fsync(fd_) != 0) throw Failure(text(path_.string(), ": cannot flush to disk: ", std::strerror(errno)));
}

bool has_eval_row(const std::filesystem::path& run_dir, int64_t step) {
  bool found = false;
  for_each_row(metrics_path(run_dir), [&](std::string_view, const RowHead& row) {
    found = found || (row.event == EvalRow::kEvent && row.step == step);
  });
  return found;
}

int64_t last_logged_step(const std::filesystem::path& run_dir) {
  std::ifstream file(metrics_path(run_dir), std::ios::ate);
  if (!file) return 0;
  constexpr int64_t kTail = 1 << 17;  // longer than an evaluation row of many layers and experts
  file.seekg(std::max<int64_t>(0, static_cast<int64_t>(file.tellg()) - kTail));
  int64_t step = 0;
  for (std::string line; std::getline(file, line);) {
    try {
      step = read_head(line, metrics_path(run_dir).string()).step;
    } catch (const UserError&) {  // the first line of the tail may be incomplete, and so may the last
    }
  }
  return step;
}

bool has_diverged(const std::filesystem::path& run_dir) {
  bool found = false;
  for_each_row(metrics_path(run_dir),
               [&](std::string_view, const RowHead& row) { found = row.event == DivergedRow::kEvent; });
  return found;
}

}  // namespace gptmoe
