#include "report/run_log.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "base/read_json.h"
#include "records/record_json.h"

namespace gptmoe {
namespace {

using Json = nlohmann::ordered_json;

void check_shares(const EvalRow& row, const std::string& place) {
  for (const std::vector<double>& layer : row.expert_load)
    for (const double share : layer)
      if (!std::isfinite(share)) user_error(place, ": \"expert_load\" must hold finite shares");
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

void read_line(RunLog& run, const Json& json, const std::string& place) {
  if (!json.is_object()) user_error(place, ": not a JSON object");
  const Json event = json.value("event", Json());
  if (event.is_null()) user_error(place, ": \"event\" is missing");
  if (event == TrainRow::kEvent) {
    append(run.train, read_record<TrainRow>(json, place), place);
  } else if (event == EvalRow::kEvent) {
    EvalRow row = read_record<EvalRow>(json, place);
    check_shares(row, place);
    if (!run.evals.empty() && !same_shape(row, run.evals.back()))
      user_error(place, ": layers or experts of \"expert_load\" or \"router_entropy\" differ from the previous eval");
    append(run.evals, std::move(row), place);
  } else if (event == DivergedRow::kEvent) {
    run.diverged = read_record<DivergedRow>(json, place).step;
  } else if (event == ThinnedRow::kEvent) {
    run.thinned = read_record<ThinnedRow>(json, place);
  } else {
    user_error(place, ": unknown event ", event.dump(-1, ' ', false, Json::error_handler_t::replace),
               "; known are \"train\", \"eval\", \"diverged\" and \"thinned\"");
  }
}

void read_metrics(RunLog& run, const std::filesystem::path& path) {
  const std::string content = read_text_file(path);
  std::string_view rest = content;
  for (int64_t number = 1; !rest.empty(); ++number) {
    const size_t end = rest.find('\n');
    const bool complete = end != std::string_view::npos;
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(complete ? end + 1 : rest.size());

    const std::string place = text(path.string(), ":", number);
    Json json;
    try {
      json = parse_json_line<Json>(line, place);
    } catch (const UserError& error) {
      if (!complete) return;
      user_error(error.what(), "; repair or remove the line");
    }
    read_line(run, json, place);
  }
}

int64_t read_at_once(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return 1;
  constexpr const char* kRemedy = "remove it if the run trained alone";
  const Json jobs = with_remedy(kRemedy, [&] { return read_json<Json>(path); });
  if (!jobs.is_object() || !jobs.contains("at_once") || !jobs["at_once"].is_number_integer())
    user_error(path.string(), ": not {\"at_once\": runs}; ", kRemedy);
  return jobs["at_once"].get<int64_t>();
}

std::vector<Provenance> read_provenance(const std::filesystem::path& path) {
  std::vector<Provenance> history;
  if (!std::filesystem::exists(path)) return history;
  constexpr const char* kRemedy = "remove it to report without it";
  const Json record = with_remedy(kRemedy, [&] { return read_json<Json>(path); });
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

RunLog read_run(const std::filesystem::path& dir) {
  if (!std::filesystem::is_directory(dir))
    user_error(dir.string(), ": no such run directory; it holds config.json and metrics.jsonl");
  RunLog run;
  run.dir = dir;
  const std::filesystem::path config_path = dir / "config.json";
  run.config = read_json<Json>(config_path, Comments::allowed);
  if (!run.config.is_object()) user_error(config_path.string(), ": not a JSON object");
  const Json::json_pointer steps("/train/steps");
  if (!run.config.contains(steps) || !run.config[steps].is_number_integer())
    user_error(config_path.string(), ": train.steps is missing or not a whole number");
  run.planned_steps = run.config[steps].get<int64_t>();
  if (run.config.contains("seed") && run.config["seed"].is_number_integer())
    run.seed = run.config["seed"].get<int64_t>();
  read_metrics(run, dir / "metrics.jsonl");
  run.at_once = read_at_once(dir / kJobsFile);
  run.provenance = read_provenance(dir / kProvenanceFile);
  if (const std::filesystem::path path = dir / kHistoryFile; std::filesystem::exists(path))
    run.history = with_remedy("remove it to report without it",
                              [&] { return read_record<RunHistory>(read_json<Json>(path), path.string()).history; });
  return run;
}

}  // namespace gptmoe
