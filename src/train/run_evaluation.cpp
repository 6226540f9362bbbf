#include "train/run_evaluation.h"

#include <cmath>
#include <cstdio>

#include "base/printable.h"
#include "base/progress.h"
#include "inference/score_table.h"

namespace gptmoe {

EvalResult RunEvaluation::evaluated() const {
  return evaluate(run_.engine, run_.ops, run_.communicator, run_.world, val_data_, run_.train.eval_tokens);
}

double RunEvaluation::validate(const Progress& progress) {
  std::optional<double> loss_ema;
  run_.log.without_cost([&] {
    run_.step.gather_weights();
    last_ = evaluated();
    if (!run_.engine.weight_average().present()) return;
    run_.step.exchange_average();
    loss_ema = evaluated().loss;
    run_.step.exchange_average();
  });
  if (run_.metrics) run_.metrics->eval(progress, *last_, loss_ema);
  run_.log.clear_line();
  std::printf("step %lld  validation loss %.4f  perplexity %.2f  (%s tokens)\n", static_cast<long long>(progress.step),
              last_->loss, last_->perplexity, grouped_digits(last_->tokens).c_str());
  for (const auto& [name, loss] : last_->loss_by_text)
    std::printf("  %s  loss %.4f  perplexity %.2f\n", printable(name).c_str(), loss, std::exp(loss));
  if (loss_ema) std::printf("  average of the weights  loss %.4f  perplexity %.2f\n", *loss_ema, std::exp(*loss_ema));
  std::fflush(stdout);
  return last_->loss;
}

void RunEvaluation::score_tasks(const Progress& progress) {
  run_.log.clear_line();
  std::vector<TaskScore> scores;
  run_.log.without_cost([&] {
    run_.step.gather_weights();
    scores = tasks_.score(run_.engine.gpt(), run_.ops, run_.world);
  });
  if (run_.metrics) run_.metrics->tasks(progress, scores, run_.train.tasks.shots);
  std::printf("step %lld  tasks\n", static_cast<long long>(progress.step));
  for (const TaskScore& score : scores) std::printf("  %s\n", printable(score_sentence(score)).c_str());
  std::fflush(stdout);
}

double RunEvaluation::one_batch(const TokenLoader& text) {
  double loss = 0;
  run_.log.without_cost([&] {
    run_.step.gather_weights();
    const int64_t tokens = run_.train.micro_batch_size * run_.train.sequence_length * run_.world.size();
    loss = evaluate(run_.engine, run_.ops, run_.communicator, run_.world, text, tokens).loss;
  });
  return loss;
}

}  // namespace gptmoe
