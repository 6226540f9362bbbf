#include "cli/eval_run.h"

#include <cstdio>

#include "base/check.h"
#include "base/json.h"
#include "base/printable.h"
#include "inference/score_table.h"

namespace gptmoe {

nlohmann::ordered_json run_json(const EvalRun& run) {
  nlohmann::ordered_json json = {{"checkpoint", run.checkpoint.string()}};
  if (run.weights == Weights::average) json["weights"] = "average";
  return json;
}

std::string run_label(const std::vector<EvalRun>& runs, size_t run) {
  const char* const average = runs[run].weights == Weights::average ? ", average of the weights" : "";
  const std::string checkpoint = runs[run].checkpoint.string() + average;
  return runs.size() != 2 ? checkpoint : text(run == 0 ? "A  " : "B  ", checkpoint);
}

void finish_eval(std::optional<AtomicFile>& file, const EvalOutput& output, const nlohmann::ordered_json& options,
                 const std::vector<nlohmann::ordered_json>& runs, const std::vector<PairedScore>& paired,
                 const std::string& names) {
  if (!paired.empty()) {
    std::printf("\n");
    for (const std::string& line : paired_table(names, paired)) std::printf("%s\n", printable(line).c_str());
  }
  if (!file) return;
  nlohmann::ordered_json json = options;
  if (runs.size() == 1) {
    json.update(runs[0]);
  } else {
    json["runs"] = runs;
    if (runs.size() == 2) json["paired"] = nlohmann::ordered_json::array();
    for (const PairedScore& score : paired) json["paired"].push_back(to_json(score, names));
  }
  file->write(json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  file->commit();
  std::printf("scores      %s\n", printable(output.json).c_str());
}

}  // namespace gptmoe
