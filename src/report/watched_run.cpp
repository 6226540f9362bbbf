#include "report/watched_run.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/descriptor.h"
#include "base/lock.h"
#include "base/read_json.h"
#include "records/expert_load.h"
#include "records/metrics_file.h"
#include "records/run_folder.h"
#include "report/run_log.h"

namespace gptmoe {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostMeans = 2048;
constexpr size_t kPartBytes = size_t{1} << 22;

// The bytes of the file at `position`, at most `bytes`.
std::string read_at(int fd, int64_t position, size_t bytes) {
  std::string content(bytes, '\0');
  ssize_t n = 0;
  do n = pread(fd, content.data(), bytes, position);
  while (n < 0 && errno == EINTR);
  if (n < 0) user_error("cannot read: ", std::strerror(errno));
  content.resize(static_cast<size_t>(n));
  return content;
}

}  // namespace

void LongCurve::add(double value) {
  pending_ += value;
  if (++pending_count_ < stride_) return;
  means_.push_back(pending_ / static_cast<double>(stride_));
  pending_ = 0;
  pending_count_ = 0;
  if (means_.size() < kMostMeans) return;
  for (size_t i = 0; i < kMostMeans / 2; ++i) means_[i] = (means_[2 * i] + means_[2 * i + 1]) / 2;
  means_.resize(kMostMeans / 2);
  stride_ *= 2;
}

std::vector<double> LongCurve::means(size_t points) const {
  std::vector<double> out;
  points = std::min(points, means_.size());
  for (size_t i = 0; i < points; ++i) {
    const size_t first = i * means_.size() / points, last = (i + 1) * means_.size() / points;
    out.push_back(std::accumulate(means_.begin() + static_cast<std::ptrdiff_t>(first),
                                  means_.begin() + static_cast<std::ptrdiff_t>(last), 0.0) /
                  static_cast<double>(last - first));
  }
  return out;
}

void WatchedRun::look(const std::function<int64_t(const std::filesystem::path&)>& saved_step) {
  problem_.clear();
  try {
    // The lock is checked before the rows are read: if the process ends in between, its last rows are still read below.
    const bool trained = folder_locked(dir_);
    read_config();
    read_new_rows();
    const bool done = steps_ > 0 && rows_.step >= steps_ && (!validates_ || rows_.eval_step >= steps_);
    saved_step_ = 0;
    if (trained) {
      state_ = RunState::training;
    } else if (rows_.diverged) {
      state_ = RunState::failed;
    } else if (done) {
      state_ = RunState::finished;
    } else {
      saved_step_ = std::max<int64_t>(0, saved_step(dir_));  // beyond the last row if log.every is above 1
      state_ = saved_step_ > 0 && saved_step_ >= rows_.step ? RunState::interrupted : RunState::stopped;
    }
  } catch (const UserError& error) {
    problem_ = error.what();
  }
  if (problem_.empty()) problem_ = row_problem_;
}

double WatchedRun::seconds_left() const {
  if (rows_.step == 0) return kUnknown;
  const double tokens_per_step = static_cast<double>(rows_.tokens) / static_cast<double>(rows_.step);
  return static_cast<double>(std::max<int64_t>(0, steps_ - rows_.step)) * tokens_per_step / rows_.tokens_per_second;
}

void WatchedRun::read_config() {
  const std::filesystem::path path = dir_ / kRunConfigFile;
  const Json config = read_json<Json>(path, Comments::allowed);
  const Json::json_pointer steps("/train/steps");
  if (!config.contains(steps) || !config[steps].is_number_integer())
    user_error(path.string(), ": train.steps is missing or not a whole number");
  steps_ = config[steps].get<int64_t>();
  validates_ = names_validation_data(config);
}

void WatchedRun::read_new_rows() {
  const std::filesystem::path path = dir_ / kMetricsFile;
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // does not wait for a FIFO's writer
  struct stat status {};
  if (!file && errno != ENOENT) user_error(path.string(), ": cannot open: ", std::strerror(errno));
  const bool there = file && fstat(file.get(), &status) == 0;
  if (there && !S_ISREG(status.st_mode)) user_error(path.string(), ": not a regular file");
  try {
    if (!there || !is_continued(file.get(), status.st_size)) {
      rows_ = {};
      read_ = 0;
      last_line_.clear();
      row_problem_.clear();
    }
    for (std::string part; there && !(part = read_at(file.get(), read_, kPartBytes)).empty();) {
      // A line may be longer than a part, and the last one may not be complete yet.
      for (size_t bytes = 2 * kPartBytes; part.size() == bytes / 2 && part.find('\n') == std::string::npos; bytes *= 2)
        part = read_at(file.get(), read_, bytes);
      const size_t complete = for_each_complete_line(part, [this](std::string_view line) { take(line); });
      if (complete == 0) break;
      read_ += static_cast<int64_t>(complete);
    }
  } catch (const UserError& error) {
    user_error(path.string(), ": ", error.what());
  }
  if (!there && stat((dir_ / kRunConfigFile).c_str(), &status) != 0) status = {};
  last_written_ = rows_.time > 0 ? rows_.time : static_cast<double>(status.st_mtime);
}

// Whether the lines that were read are still in the file. If the file was truncated and written again, the last line
// that was read is no longer at its old position.
bool WatchedRun::is_continued(int fd, int64_t size) const {
  const auto bytes = static_cast<int64_t>(last_line_.size());
  return size >= read_ && read_at(fd, read_ - bytes, last_line_.size()) == last_line_;
}

void WatchedRun::take(std::string_view line) {
  last_line_ = line;
  ++rows_.lines;
  try {
    const MetricsRow row = MetricsLine(line, text((dir_ / kMetricsFile).string(), ":", rows_.lines)).row();
    if (const auto* train = std::get_if<TrainRow>(&row)) {
      rows_.step = train->step;
      rows_.tokens = train->tokens;
      rows_.loss = train->loss;
      rows_.tokens_per_second = train->tokens_per_second;
      rows_.time = train->time.value_or(0);
      if (std::isfinite(train->loss)) rows_.losses.add(train->loss);
    } else if (const auto* eval = std::get_if<EvalRow>(&row)) {
      rows_.eval_step = eval->step;
      rows_.perplexity = std::exp(eval->val_loss);
      rows_.time = eval->time.value_or(0);
      rows_.dead = rows_.experts = 0;
      for (const std::vector<double>& layer : eval->expert_load) {
        rows_.dead += gptmoe::dead_experts(layer);
        rows_.experts += static_cast<int64_t>(layer.size());
      }
    } else if (const auto* diverged = std::get_if<DivergedRow>(&row)) {
      rows_.diverged = true;
      rows_.time = diverged->time.value_or(0);
    }
  } catch (const UserError& error) {
    row_problem_ = error.what();
  }
}

}  // namespace gptmoe
