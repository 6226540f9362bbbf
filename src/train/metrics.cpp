#include "train/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <string_view>

#include "base/file.h"
#include "base/folder.h"
#include "base/seal.h"
#include "base/slow_job.h"
#include "base/unix_time.h"
#include "records/metrics_file.h"
#include "records/record_json.h"
#include "records/row_chain.h"
#include "train/scalars.h"

namespace gptmoe {
namespace {

std::filesystem::path metrics_path(const std::filesystem::path& run_dir) { return run_dir / kMetricsFile; }

// The content of the file; empty if there is none.
std::string read_rows(const std::filesystem::path& path) { return anything_at(path) ? read_text_file(path) : ""; }

bool known_to_checkpoint(const MetricsLine& row, int64_t step) {
  const bool follows_checkpoint = row.event() == EvalRow::kEvent || row.event() == TasksRow::kEvent;
  return follows_checkpoint ? row.step() < step : row.step() <= step;
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
std::string line_of(const Row& row, const std::string& previous) {
  RecordWriter writer;
  writer.field("event", std::string(Row::kEvent), "");
  visit_fields(writer, row);
  writer.field(kPreviousRow, previous, "");
  return sealed(writer.take().dump());
}

// The facts about a row that cutting metrics.jsonl and continuing the event files need.
struct RowSummary {
  int64_t step;
  std::optional<double> time;
  bool in_events;  // whether event files hold it
  size_t begin, bytes;
};

// The rows that a checkpoint covers, which come first in the file. `content` is their text.
struct CoveredRows {
  std::string content;
  std::vector<RowSummary> rows;
};

// Parses every row of the file once, which takes some seconds for a million rows.
CoveredRows covered_rows(const std::filesystem::path& path, int64_t step) {
  CoveredRows covered{read_rows(path), {}};
  size_t bytes = 0;
  std::optional<int64_t> beyond;  // the first step that the checkpoint does not cover
  std::map<std::string, int64_t> last = {{TrainRow::kEvent, -1}, {EvalRow::kEvent, -1}, {TasksRow::kEvent, -1}};
  SlowJob job("reading " + path.string(), std::count(covered.content.begin(), covered.content.end(), '\n'));
  if (step > 0)
    for_each_row(covered.content, path, [&](const MetricsLine& row) {
      job.advance();
      const bool known = known_to_checkpoint(row, step);
      if (known && beyond)
        user_error(row.place(), ": step ", row.step(), " follows step ", *beyond, "; remove the line");
      if (!known && !beyond) beyond = row.step();
      if (!known) return;
      const auto before = last.find(row.event());
      const bool in_events = before != last.end();
      if (in_events && row.step() <= before->second)
        user_error(row.place(), ": step ", row.step(), " follows step ", before->second, "; remove the line");
      if (in_events) before->second = row.step();
      covered.rows.push_back({row.step(), row.time(), in_events, bytes, row.line().size()});
      bytes += row.line().size();
    });
  covered.content.resize(bytes);
  return covered;
}

// Calls visit(row) for the complete rows, the last one first, until visit() returns false. Parsing all rows of a long
// run would take seconds.
template <typename Visit>
void visit_from_end(const std::filesystem::path& run_dir, Visit&& visit) {
  const std::filesystem::path path = metrics_path(run_dir);
  const std::string rows = read_rows(path);
  auto number = std::count(rows.begin(), rows.end(), '\n');
  for (size_t end = rows.rfind('\n'); end != std::string::npos; --number) {
    const size_t before = end == 0 ? std::string::npos : rows.rfind('\n', end - 1);
    const size_t begin = before == std::string::npos ? 0 : before + 1;
    if (!visit(MetricsLine(std::string_view(rows).substr(begin, end + 1 - begin), text(path.string(), ":", number))))
      return;
    end = before;
  }
}

bool has_row(const std::filesystem::path& run_dir, const char* event, int64_t step) {
  bool found = false;
  visit_from_end(run_dir, [&](const MetricsLine& row) {
    found = row.event() == event && row.step() == step;
    return !found && row.step() >= step;
  });
  return found;
}

// The first step whose row is missing from the event files as readers see them, or has a different time there. That
// happens if log.tensorboard was off for a while, or if the run went back to a checkpoint. A step after all rows if
// there is no such step.
int64_t first_unseen(const std::vector<RowSummary>& rows, const std::vector<WrittenEvent>& seen) {
  size_t next = 0;
  for (const RowSummary& row : rows) {
    if (!row.in_events) continue;
    if (next == seen.size()) return row.step;
    const WrittenEvent& event = seen[next++];
    if (event.step != row.step || (row.time && *row.time != event.wall_time)) return std::min(row.step, event.step);
  }
  return std::numeric_limits<int64_t>::max();
}

Descriptor open_cut(const std::filesystem::path& path, size_t bytes) {
  Descriptor fd(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!fd) throw Failure(text(path.string(), ": cannot open for appending: ", std::strerror(errno)));
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0)
    throw Failure(text(path.string(), ": cannot cut back to ", bytes, " bytes: ", std::strerror(errno)));
  return fd;
}

}  // namespace

MetricsFile::MetricsFile(const std::filesystem::path& run_dir, int64_t step, bool tensorboard,
                         const std::optional<std::string>& last_row)
    : path_(metrics_path(run_dir)) {
  const CoveredRows covered = covered_rows(path_, step);
  if (tensorboard) {
    const std::optional<std::vector<WrittenEvent>> seen = written_events(run_dir);
    const int64_t from = seen ? std::min(step, first_unseen(covered.rows, *seen)) : 0;
    events_.emplace(run_dir, seen ? std::optional(from) : std::nullopt);
    // Writes the covered rows from step `from` on to the new event file again, since readers drop them from the earlier
    // files.
    for (size_t i = 0; i < covered.rows.size(); ++i) {
      const auto& [row_step, time, in_events, begin, bytes] = covered.rows[i];
      if (!in_events || row_step < from) continue;
      const std::string_view line = std::string_view(covered.content).substr(begin, bytes);
      const MetricsRow row = MetricsLine(line, text(path_.string(), ":", i + 1)).row();
      if (const auto* train = std::get_if<TrainRow>(&row)) write_event(*train);
      if (const auto* eval = std::get_if<EvalRow>(&row)) write_event(*eval);
      if (const auto* tasks = std::get_if<TasksRow>(&row)) write_event(*tasks);
    }
  }
  RowLinks last;
  if (!covered.rows.empty()) last = links_of(std::string_view(covered.content).substr(covered.rows.back().begin));
  const bool chained = covered.rows.empty() || last.previous;
  last_row_ = last_row && chained ? *last_row : std::string(last.checksum);
  fd_ = open_cut(path_, covered.content.size());
}

template <typename Row>
void MetricsFile::write_event(const Row& row) {
  events_->write(row.time.value_or(unix_time()), row.step, scalars_of(row));
}

void MetricsFile::train(const Progress& progress, const StepResult& result, double lr, const StepCosts& costs) {
  TrainRow row;
  row.step = progress.step;
  row.tokens = progress.tokens;
  row.loss = result.loss;
  row.lr = lr;
  row.grad_norm = result.grad_norm;
  row.tokens_per_second = costs.tokens_per_second;
  row.mfu = costs.mfu;
  row.output_z_loss = result.output_z_loss;
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
  if (!progress.source_shares.empty()) row.source_share = progress.source_shares;
  row.skipped_steps = progress.skipped_steps;
  row.seconds = progress.seconds;
  row.time = unix_time();
  append(row);
}

void MetricsFile::eval(const Progress& progress, const EvalResult& result, std::optional<double> loss_ema) {
  EvalRow row;
  row.step = progress.step;
  row.tokens = progress.tokens;
  row.val_loss = result.loss;
  row.val_loss_ema = loss_ema;
  if (!result.loss_by_text.empty()) row.val_loss_by_set = result.loss_by_text;
  row.seconds = progress.seconds;
  row.expert_load = result.expert_load;
  row.router_entropy = result.router_entropy;
  row.load_balance_loss_by_layer = result.load_balance_loss;
  row.fill_share = result.fill_share;
  row.time = unix_time();
  append(row);
}

void MetricsFile::tasks(const Progress& progress, const std::vector<TaskScore>& scores, int64_t shots) {
  const auto value = [](const std::optional<Estimate>& estimate) {
    return estimate ? std::optional(estimate->value) : std::nullopt;
  };
  TasksRow row;
  row.step = progress.step;
  row.tokens = progress.tokens;
  for (const TaskScore& score : scores) {
    const Scores& all = score.all;
    row.tasks.emplace_back(all.name,
                           TaskScoreRow{score.checksum, shots, all.examples, all.acc.value, all.acc.standard_error,
                                        value(all.acc_norm), value(all.acc_token), value(all.perplexity), all.chance});
  }
  row.seconds = progress.seconds;
  row.time = unix_time();
  append(row);
}

void MetricsFile::diverged(const Progress& progress) {
  append(DivergedRow{progress.step + 1, progress.tokens, progress.seconds, unix_time()});
}

template <typename Row>
void MetricsFile::append(const Row& row) {
  const std::string line = line_of(row, last_row_);
  append_fully(fd_.get(), line, path_);
  require_still_there(fd_.get(), path_);
  last_row_ = links_of(line).checksum;
  if constexpr (!std::is_same_v<Row, DivergedRow>)
    if (events_) write_event(row);
}

void MetricsFile::sync() {
  require_still_there(fd_.get(), path_);
  if (fsync(fd_.get()) != 0) throw Failure(text(path_.string(), ": cannot flush to disk: ", std::strerror(errno)));
}

std::vector<std::string> row_problems(const std::filesystem::path& run_dir, const std::optional<SavedRow>& saved) {
  const std::filesystem::path path = metrics_path(run_dir);
  return chain_problems(read_rows(path), path, saved);
}

void require_rows_in_order(const std::filesystem::path& run_dir, int64_t step) {
  covered_rows(metrics_path(run_dir), step);
}

bool has_eval_row(const std::filesystem::path& run_dir, int64_t step) {
  return has_row(run_dir, EvalRow::kEvent, step);
}

bool has_tasks_row(const std::filesystem::path& run_dir, int64_t step) {
  return has_row(run_dir, TasksRow::kEvent, step);
}

int64_t last_logged_step(const std::filesystem::path& run_dir) {
  int64_t step = 0;
  visit_from_end(run_dir, [&](const MetricsLine& row) {
    step = row.step();
    return false;
  });
  return step;
}

int64_t last_train_row(const std::filesystem::path& run_dir, int64_t step) {
  int64_t found = 0;
  visit_from_end(run_dir, [&](const MetricsLine& row) {
    if (row.event() == TrainRow::kEvent && row.step() <= step) found = row.step();
    return found == 0;
  });
  return found;
}

bool has_diverged(const std::filesystem::path& run_dir) {
  bool found = false;
  visit_from_end(run_dir, [&](const MetricsLine& row) {
    found = row.event() == DivergedRow::kEvent;
    return false;
  });
  return found;
}

}  // namespace gptmoe
