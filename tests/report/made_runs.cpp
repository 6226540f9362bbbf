#include "report/made_runs.h"

#include <cmath>
#include <fstream>

#include "base/check.h"

namespace gptmoe {

std::string train_line(int64_t step, int64_t tokens, double tokens_per_second) {
  return text(R"({"event":"train","step":)", step, R"(,"tokens":)", tokens,
              R"(,"loss":3.5,"lr":0.001,"grad_norm":1.25,"tokens_per_second":)", tokens_per_second,
              R"(,"mfu":null,"seconds":)", 0.1 * static_cast<double>(tokens), "}\n");
}

std::string eval_line(int64_t step, int64_t tokens, double val_loss, double seconds) {
  return text(R"({"event":"eval","step":)", step, R"(,"tokens":)", tokens, R"(,"val_loss":)", val_loss,
              R"(,"val_perplexity":)", std::exp(val_loss), R"(,"seconds":)", seconds, "}\n");
}

void write_run(const std::filesystem::path& dir, const std::string& metrics, const std::string& config) {
  std::filesystem::create_directories(dir);
  std::ofstream(dir / "config.json") << config;
  std::ofstream(dir / "metrics.jsonl") << metrics;
  std::ofstream(dir / "provenance.json") << R"({"history": [{"from_step": 0, "build": {"commit": "made"},)"
                                            R"( "machine": {"host": "here"}, "threads": 2, "ranks": 1}]})";
}

RunLog run_of(const std::vector<double>& perplexities, int64_t planned_steps, int64_t seed) {
  RunLog run;
  run.dir = "runs/made";
  run.config = {{"train", {{"steps", planned_steps}}}};
  run.planned_steps = planned_steps;
  run.seed = seed;
  run.provenance = {{0, {{"commit", "made"}}, {{"host", "here"}}, 2, 1}};
  for (size_t i = 0; i < perplexities.size(); ++i) {
    EvalRow row;
    row.step = static_cast<int64_t>(i) + 1;
    row.tokens = 100 * row.step;
    row.seconds = 10.0 * static_cast<double>(row.step);
    row.val_loss = std::log(perplexities[i]);
    run.evals.push_back(row);
  }
  return run;
}

}  // namespace gptmoe
