#include "report/run_log.h"

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "base/folder.h"
#include "base/lock.h"
#include "base/seal.h"
#include "records/metrics_file.h"
#include "records/run_folder.h"

namespace gptmoe {
namespace {

using Json = nlohmann::ordered_json;

void check_shares(const EvalRow& row, const std::string& place) {
  for (const std::vector<double>& layer : row.expert_load)
    for (const double share : layer)
      if (!std::isfinite(share))
        user_error(place, ": \"expert_load\" must hold finite shares; repair or remove the line");
}

bool same_shape(const EvalRow& a, const EvalRow& b) {
  return a.router_entropy.size() == b.router_entropy.size() &&
         std::equal(a.expert_load.begin(), a.expert_load.end(), b.expert_load.begin(), b.expert_load.end(),
                    [](const auto& x, const auto& y) { return x.size() == y.size(); });
}

template <typename Row>
void append(std::vector<Row>& rows, Row row, const std::string& place) {
  if (!rows.empty() && (row.step <= rows.back().step || row.tokens <= rows.back().tokens))
    user_error(place, ": step ", row.step, " (", row.tokens, " tokens) follows step ", rows.back().step, " (",
               rows.back().tokens, " tokens); steps and tokens must advance");
  rows.push_back(std::move(row));
}

void append(RunLog& run, EvalRow row, const std::string& place) {
  check_shares(row, place);
  if (!run.evals.empty() && !same_shape(row, run.evals.back()))
    user_error(place,
               ": layers or experts of \"expert_load\" or \"router_entropy\" differ from the previous eval; repair or "
               "remove the line");
  append(run.evals, std::move(row), place);
}

void read_metrics(RunLog& run, const std::filesystem::path& path, const std::optional<SavedRow>& saved) {
  const bool trained = folder_locked(run.dir);  // before the rows are read: the process may end in between
  const std::string content = read_text_file(path);
  for_each_row(content, path, [&](const MetricsLine& line) {
    MetricsRow row = line.row();
    if (auto* train = std::get_if<TrainRow>(&row)) append(run.train, std::move(*train), line.place());
    if (auto* eval = std::get_if<EvalRow>(&row)) append(run, std::move(*eval), line.place());
    if (auto* tasks = std::get_if<TasksRow>(&row)) append(run.tasks, std::move(*tasks), line.place());
    if (const auto* diverged = std::get_if<DivergedRow>(&row)) run.diverged = diverged->step;
    if (const auto* thinned = std::get_if<ThinnedRow>(&row)) run.thinned = *thinned;
  });
  run.problems = chain_problems(content, path, saved);
  if (!trained && !content.empty() && !content.ends_with('\n'))
    run.problems.push_back(text(path.string(), ":", std::count(content.begin(), content.end(), '\n') + 1,
                                ": the last row is not complete and is left out: the run was killed, or the file was "
                                "cut short; restore it, or continue the run with gptmoe train --resume"));
}

int64_t read_at_once(const std::filesystem::path& path) {
  constexpr const char* kRemedy = "remove it if the run trained alone";
  if (!anything_at(path)) return 1;
  const std::string content = read_text_file(path);  // its errors do not advise to remove the file
  const Json jobs = with_remedy(kRemedy, [&] { return parse_sealed_json<Json>(content, path.string()); });
  if (!jobs.is_object() || !jobs.contains("at_once") || !jobs["at_once"].is_number_integer())
    user_error(path.string(), ": not {\"at_once\": runs}; ", kRemedy);
  return jobs["at_once"].get<int64_t>();
}

std::vector<Provenance> read_provenance(const std::filesystem::path& path) {
  std::vector<Provenance> history;
  constexpr const char* kRemedy = "remove the file to report without this record";
  if (!anything_at(path)) return history;
  const std::string content = read_text_file(path);
  const Json record = with_remedy(kRemedy, [&] { return parse_sealed_json<Json>(content, path.string()); });
  try {
    for (const Json& entry : record.at("history"))
      history.push_back({entry.at("from_step").get<int64_t>(), entry.at("build"), entry.at("machine"),
                         entry.at("threads").get<int64_t>(), entry.at("ranks").get<int64_t>()});
  } catch (const Json::exception&) {
    user_error(path.string(), ": not a record of builds and machines; ", kRemedy);
  }
  return history;
}

}  // namespace

int64_t RunLog::last_step() const {
  return std::max(train.empty() ? 0 : train.back().step, evals.empty() ? 0 : evals.back().step);
}

bool RunLog::has_diverged() const {
  return diverged || (!evals.empty() && !std::isfinite(std::exp(evals.back().val_loss)));
}

bool names_validation_data(const Json& config) {
  const Json::json_pointer val("/data/val");
  return config.contains(val) && config[val] != "" && !config[val].empty();
}

bool RunLog::lacks_last_eval() const {
  return names_validation_data(config) && (evals.empty() || evals.back().step < planned_steps);
}

RunLog read_run(const std::filesystem::path& dir, const std::optional<SavedRow>& saved) {
  if (file_type_at(dir) != std::filesystem::file_type::directory)
    user_error(dir.string(), ": no such run directory; give a folder that holds config.json and metrics.jsonl");
  RunLog run;
  run.dir = dir;
  const std::filesystem::path config_path = dir / kRunConfigFile;
  run.config = read_json<Json>(config_path, Comments::allowed);
  if (!run.config.is_object()) user_error(config_path.string(), ": not a JSON object");
  const Json::json_pointer steps("/train/steps");
  if (!run.config.contains(steps) || !run.config[steps].is_number_integer())
    user_error(config_path.string(), ": train.steps is missing or not a whole number");
  run.planned_steps = run.config[steps].get<int64_t>();
  if (run.config.contains("seed") && run.config["seed"].is_number_integer())
    run.seed = run.config["seed"].get<int64_t>();
  read_metrics(run, dir / kMetricsFile, saved);
  run.at_once = read_at_once(dir / kJobsFile);
  run.provenance = read_provenance(dir / kProvenanceFile);
  run.history = read_history(dir).history;
  return run;
}

}  // namespace gptmoe
