#include "report/run_log.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

#include "base/check.h"
#include "base/file.h"

namespace gptmoe {
namespace {

using Json = nlohmann::ordered_json;

// One line of metrics.jsonl with the place that errors name.
class Line {
 public:
  Line(const Json& json, std::string place) : json_(json), place_(std::move(place)) {
    if (!json_.is_object()) fail("not a JSON object");
  }

  [[noreturn]] void fail(const std::string& why) const { user_error(place_, ": ", why); }

  const Json* find(const char* key) const {
    const auto found = json_.find(key);
    return found == json_.end() ? nullptr : &*found;
  }
  const Json& required(const char* key) const {
    const Json* value = find(key);
    if (!value) fail(text("\"", key, "\" is missing"));
    return *value;
  }

  int64_t count(const char* key) const {
    const Json& value = required(key);
    if (!value.is_number_integer() || value.get<int64_t>() < 0) fail(text("\"", key, "\" must be a whole number >= 0"));
    return value.get<int64_t>();
  }
  double number(const Json& value, const char* key) const {
    if (value.is_null()) return std::numeric_limits<double>::quiet_NaN();
    if (!value.is_number()) fail(text("\"", key, "\" must hold numbers"));
    return value.get<double>();
  }
  double number(const char* key) const { return number(required(key), key); }
  std::optional<double> maybe_number(const char* key) const {
    const Json* value = find(key);
    if (!value || value->is_null()) return std::nullopt;
    return number(*value, key);
  }
  std::vector<double> numbers(const Json& value, const char* key) const {
    if (!value.is_array()) fail(text("\"", key, "\" must be a list"));
    std::vector<double> out;
    for (const Json& item : value) out.push_back(number(item, key));
    return out;
  }

 private:
  const Json& json_;
  std::string place_;
};

TrainRow train_row(const Line& line) {
  TrainRow row;
  row.step = line.count("step");
  row.tokens = line.count("tokens");
  row.seconds = line.number("seconds");
  row.loss = line.number("loss");
  row.lr = line.number("lr");
  row.grad_norm = line.number("grad_norm");
  row.tokens_per_second = line.number("tokens_per_second");
  row.mfu = line.maybe_number("mfu");
  row.load_balance_loss = line.maybe_number("load_balance_loss");
  row.expert_load_max = line.maybe_number("expert_load_max");
  row.expert_load_min = line.maybe_number("expert_load_min");
  return row;
}

EvalRow eval_row(const Line& line) {
  EvalRow row;
  row.step = line.count("step");
  row.tokens = line.count("tokens");
  row.seconds = line.number("seconds");
  row.val_loss = line.number("val_loss");
  if (const Json* load = line.find("expert_load")) {
    if (!load->is_array()) line.fail("\"expert_load\" must be a list of lists");
    for (const Json& layer : *load) {
      row.expert_load.push_back(line.numbers(layer, "expert_load"));
      for (double share : row.expert_load.back())
        if (!std::isfinite(share)) line.fail("\"expert_load\" must hold finite shares");
    }
  }
  if (const Json* entropy = line.find("router_entropy")) row.router_entropy = line.numbers(*entropy, "router_entropy");
  return row;
}

bool same_shape(const EvalRow& a, const EvalRow& b) {
  return a.router_entropy.size() == b.router_entropy.size() &&
         std::equal(a.expert_load.begin(), a.expert_load.end(), b.expert_load.begin(), b.expert_load.end(),
                    [](const auto& x, const auto& y) { return x.size() == y.size(); });
}

template <typename Row>
void append(std::vector<Row>& rows, Row row, const Line& line) {
  if (!rows.empty() && (row.step <= rows.back().step || row.tokens <= rows.back().tokens))
    line.fail(text("step ", row.step, " (", row.tokens, " tokens) follows step ", rows.back().step, " (",
                   rows.back().tokens, " tokens); steps and tokens must advance"));
  rows.push_back(std::move(row));
}

void read_line(RunLog& run, const Line& line) {
  const Json& event = line.required("event");
  if (event == "train") {
    append(run.train, train_row(line), line);
  } else if (event == "eval") {
    EvalRow row = eval_row(line);
    if (!run.evals.empty() && !same_shape(row, run.evals.back()))
      line.fail("layers or experts of \"expert_load\" or \"router_entropy\" differ from the eval before");
    append(run.evals, std::move(row), line);
  } else if (event == "diverged") {
    run.diverged = line.count("step");
  } else if (event == "thinned") {
    run.thinned = {line.count("train_rows"), {}};
    if (!line.required("loss_spikes").is_null()) run.thinned->loss_spikes = line.count("loss_spikes");
  } else {
    line.fail(text("unknown event ", event.dump(-1, ' ', false, Json::error_handler_t::replace),
                   "; known are \"train\", \"eval\", \"diverged\" and \"thinned\""));
  }
}

void read_metrics(RunLog& run, const std::filesystem::path& path) {
  const MappedFile file(path);
  std::string_view rest = file.bytes();
  for (int64_t number = 1; !rest.empty(); ++number) {
    const size_t end = rest.find('\n');
    const bool complete = end != std::string_view::npos;
    const std::string_view bytes = rest.substr(0, end);
    rest.remove_prefix(complete ? end + 1 : rest.size());

    const Json json = Json::parse(bytes, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded() && !complete) return;
    const std::string place = text(path.string(), ":", number);
    if (json.is_discarded()) user_error(place, ": not valid JSON; repair or remove the line");
    read_line(run, Line(json, place));
  }
}

int64_t read_at_once(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return 1;
  const Json jobs = Json::parse(read_text_file(path), nullptr, /*allow_exceptions=*/false);
  if (!jobs.is_object() || !jobs.contains("at_once") || !jobs["at_once"].is_number_integer())
    user_error(path.string(), ": not {\"at_once\": runs}; remove it if the run trained alone");
  return jobs["at_once"].get<int64_t>();
}

std::vector<Provenance> read_provenance(const std::filesystem::path& path) {
  std::vector<Provenance> history;
  if (!std::filesystem::exists(path)) return history;
  const Json record = Json::parse(read_text_file(path), nullptr, /*allow_exceptions=*/false);
  try {
    for (const Json& entry : record.at("history"))
      history.push_back({entry.at("from_step").get<int64_t>(), entry.at("build"), entry.at("machine"),
                         entry.at("threads").get<int64_t>(), entry.at("ranks").get<int64_t>()});
  } catch (const Json::exception&) {
    user_error(path.string(), ": not a record of builds and machines; remove it to report without");
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
  run.config = Json::parse(read_text_file(config_path), nullptr, /*allow_exceptions=*/false, /*ignore_comments=*/true);
  if (!run.config.is_object()) user_error(config_path.string(), ": not a JSON object");
  const Json::json_pointer steps("/train/steps");
  if (!run.config.contains(steps) || !run.config[steps].is_number_integer())
    user_error(config_path.string(), ": train.steps is missing or not a whole number");
  run.planned_steps = run.config[steps].get<int64_t>();
  if (run.config.contains("seed") && run.config["seed"].is_number_integer())
    run.seed = run.config["seed"].get<int64_t>();
  read_metrics(run, dir / "metrics.jsonl");
  if (const auto path = dir / kAnalysisFile; std::filesystem::exists(path))
    run.analysis = Json::parse(read_text_file(path), nullptr, /*allow_exceptions=*/false);
  run.at_once = read_at_once(dir / kJobsFile);
  run.provenance = read_provenance(dir / kProvenanceFile);
  return run;
}

}  // namespace gptmoe
