#include "train/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <numeric>
#include <string_view>

#include "base/file.h"
#include "base/folder.h"
#include "base/seal.h"
#include "base/unix_time.h"
#include "records/metrics_file.h"
#include "records/record_json.h"
#include "train/scalars.h"

namespace gptmoe {
namespace {

std::filesystem::path metrics_path(const std::filesystem::path& run_dir) { return run_dir / kMetricsFile; }

// The content of the file; empty if there is none.
std::string read_rows(const std::filesystem::path& path) { return anything_at(path) ? read_text_file(path) : ""; }

bool known_to_checkpoint(const MetricsLine& row, int64_t step) {
  return row.event() == EvalRow::kEvent ? row.step() < step : row.step() <= step;
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
  return sealed(writer.take().dump());
}

// How many bytes of `rows` a checkpoint at `step` covers; they end with a line.
size_t covered_bytes(const std::string& rows, const std::filesystem::path& path, int64_t step) {
  size_t covered = 0;
  std::optional<int64_t> beyond;  // the first step that the checkpoint does not know
  if (step > 0)
    for_each_row(rows, path, [&](const MetricsLine& row) {
      const bool known = known_to_checkpoint(row, step);
      if (known && beyond)
        user_error(row.place(), ": step ", row.step(), " follows step ", *beyond, "; remove the line");
      if (known) covered += row.line().size();
      if (!known && !beyond) beyond = row.step();
    });
  return covered;
}

// The first step at which event files, as readers see them, do not hold the rows of this time: they were written while
// log.tensorboard was off, or after the run went back to a checkpoint. A step after all rows if there is none.
int64_t first_unseen(const std::string& rows, const std::filesystem::path& path,
                     const std::vector<WrittenEvent>& seen) {
  size_t next = 0;
  std::optional<int64_t> unseen;
  for_each_row(rows, path, [&](const MetricsLine& line) {
    if (unseen || (line.event() != TrainRow::kEvent && line.event() != EvalRow::kEvent)) return;
    const MetricsRow row = line.row();
    const auto* train = std::get_if<TrainRow>(&row);
    const std::optional<double> time = train ? train->time : std::get<EvalRow>(row).time;
    const bool there = next < seen.size() && seen[next].step == line.step();
    if (!there || (time && *time != seen[next].wall_time))
      unseen = next < seen.size() ? std::min(line.step(), seen[next].step) : line.step();
    ++next;
  });
  return unseen.value_or(std::numeric_limits<int64_t>::max());
}

int open_cut(const std::filesystem::path& path, size_t bytes) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) throw Failure(text(path.string(), ": cannot open for appending: ", std::strerror(errno)));
  if (ftruncate(fd, static_cast<off_t>(bytes)) == 0) return fd;
  const int reason = errno;
  close(fd);  // nothing was written
  throw Failure(text(path.string(), ": cannot cut back to ", bytes, " bytes: ", std::strerror(reason)));
}

}  // namespace

MetricsFile::MetricsFile(const std::filesystem::path& run_dir, int64_t step, bool tensorboard)
    : path_(metrics_path(run_dir)) {
  std::string rows = read_rows(path_);
  rows.resize(covered_bytes(rows, path_, step));
  if (tensorboard) start_events(rows, step);
  fd_ = open_cut(path_, rows.size());
}

// The row of `step`, which metrics.jsonl keeps, is written to the new event file again: readers drop it from the
// earlier one together with the later steps.
void MetricsFile::start_events(const std::string& rows, int64_t step) {
  const std::filesystem::path folder = path_.parent_path();
  const std::optional<std::vector<WrittenEvent>> seen = written_events(folder);
  const int64_t from = seen ? std::min(step, first_unseen(rows, path_, *seen)) : 0;
  events_.emplace(folder, seen ? std::optional(from) : std::nullopt);
  for_each_row(rows, path_, [&](const MetricsLine& line) {
    if (line.step() < from) return;
    const MetricsRow row = line.row();
    if (const auto* train = std::get_if<TrainRow>(&row)) write_event(*train);
    if (const auto* eval = std::get_if<EvalRow>(&row)) write_event(*eval);
  });
}

template <typename Row>
void MetricsFile::write_event(const Row& row) {
  events_->write(row.time.value_or(unix_time()), row.step, scalars_of(row));
}

MetricsFile::~MetricsFile() { close(fd_); }  // after sync(); a run that fails repeats what is lost

void MetricsFile::train(const Progress& progress, const StepResult& result, double lr, const StepCosts& costs) {
  TrainRow row;
  row.step = progress.step;
  row.tokens = progress.tokens;
  row.loss = result.loss;
  row.lr = lr;
  row.grad_norm = result.grad_norm;
  row.tokens_per_second = costs.tokens_per_second;
  row.mfu = costs.mfu;
  if (!result.load_balance_loss.empty()) {
    row.load_balance_loss = mean(result.load_balance_loss);
    row.load_balance_loss_by_layer = result.load_balance_loss;
    row.expert_load_max = result.expert_load_max;
    row.expert_load_min = result.expert_load_min;
    row.expert_load_max_by_layer = result.expert_load_max_by_layer;
    row.expert_load_min_by_layer = result.expert_load_min_by_layer;
  }
  if (result.default_norms) {
    row.default_norm_mean = result.default_norms->mean;
    row.default_norm_max = result.default_norms->max;
  }
  if (costs.memory_bytes >= 0) row.memory_bytes = costs.memory_bytes;
  if (costs.communication) row.communication = traffic_rows(*costs.communication);
  row.seconds = progress.seconds;
  row.time = unix_time();
  append(row);
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
  row.time = unix_time();
  append(row);
}

void MetricsFile::diverged(const Progress& progress) {
  append(DivergedRow{progress.step + 1, progress.tokens, progress.seconds, unix_time()});
}

template <typename Row>
void MetricsFile::append(const Row& row) {
  append_fully(fd_, line_of(row), path_);
  require_still_there(fd_, path_);
  if constexpr (!std::is_same_v<Row, DivergedRow>)
    if (events_) write_event(row);
}

void MetricsFile::sync() {
  require_still_there(fd_, path_);
  if (fsync(fd_) != 0) throw Failure(text(path_.string(), ": cannot flush to disk: ", std::strerror(errno)));
}

void require_rows_in_order(const std::filesystem::path& run_dir, int64_t step) {
  const std::filesystem::path path = metrics_path(run_dir);
  covered_bytes(read_rows(path), path, step);
}

bool has_eval_row(const std::filesystem::path& run_dir, int64_t step) {
  const std::filesystem::path path = metrics_path(run_dir);
  bool found = false;
  for_each_row(read_rows(path), path, [&](const MetricsLine& row) {
    found = found || (row.event() == EvalRow::kEvent && row.step() == step);
  });
  return found;
}

int64_t last_logged_step(const std::filesystem::path& run_dir) {
  const std::filesystem::path path = metrics_path(run_dir);
  int64_t step = 0;
  for_each_row(read_rows(path), path, [&](const MetricsLine& row) { step = row.step(); });
  return step;
}

int64_t last_train_row(const std::filesystem::path& run_dir, int64_t step) {
  const std::filesystem::path path = metrics_path(run_dir);
  int64_t last = 0;
  for_each_row(read_rows(path), path, [&](const MetricsLine& row) {
    if (row.event() == TrainRow::kEvent && row.step() <= step) last = row.step();
  });
  return last;
}

bool has_diverged(const std::filesystem::path& run_dir) {
  const std::filesystem::path path = metrics_path(run_dir);
  bool found = false;
  for_each_row(read_rows(path), path, [&](const MetricsLine& row) { found = row.event() == DivergedRow::kEvent; });
  return found;
}

}  // namespace gptmoe
