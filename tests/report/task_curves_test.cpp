// What the report shows of train.tasks, train.weight_ema and train.skip_spikes.
#include "report/task_curves.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/json.h"
#include "report/html_report.h"
#include "report/json_report.h"
#include "report/table.h"
#include "support/error_line.h"

namespace gptmoe {
namespace {

TasksRow tasks_row(int64_t step, double acc) {
  TasksRow row;
  row.step = step;
  row.tokens = 100 * step;
  TaskScoreRow copa, lambada;
  copa.acc = acc;
  copa.chance = 0.5;
  lambada.acc = acc / 2;
  lambada.perplexity = 30;
  row.tasks = {{"copa", copa}, {"lambada", lambada}};
  return row;
}

RunLog scored_run(double acc) {
  RunLog run;
  run.dir = "run";
  run.planned_steps = 20;
  for (const int64_t step : {10, 20}) {
    EvalRow eval;
    eval.step = step;
    eval.tokens = 100 * step;
    eval.val_loss = std::log(40);
    eval.val_loss_ema = std::log(20);
    run.evals.push_back(eval);
    TrainRow train;
    train.step = step;
    train.tokens = 100 * step;
    train.skipped_steps = step / 10;
    run.train.push_back(train);
    run.tasks.push_back(tasks_row(step, acc + 0.01 * static_cast<double>(step)));
  }
  return run;
}

TEST(TaskCurves, AreMeansOverTheRunsThatWereScored) {
  RunLog other = scored_run(0.5);
  other.tasks.pop_back();
  const Comparison comparison = compare({{"a", {scored_run(0.3), other}}, {"b", {scored_run(0.2)}}});
  const std::vector<TaskCurve> curves = task_curves(comparison);
  ASSERT_EQ(curves.size(), 2u);
  EXPECT_EQ(curves[0].name, "copa");
  EXPECT_EQ(curves[0].chance, 0.5);
  EXPECT_FALSE(curves[1].chance);
  ASSERT_EQ(curves[0].by_arm[0].size(), 2u);
  EXPECT_NEAR(curves[0].by_arm[0][0].acc.mean, 0.5, 1e-12);
  EXPECT_EQ(curves[0].by_arm[0][0].acc.count, 2);
  EXPECT_EQ(last_accuracy(curves[0], 0), "0.500");
  EXPECT_EQ(last_accuracy(curves[0], 1), "0.400");
}

// Equal names and paths do not make scores comparable.
TEST(TaskCurves, AreNotedIfTheyAreOfDifferentThings) {
  const auto scored_on = [](const char* checksum, int64_t examples, int64_t shots) {
    RunLog run = scored_run(0.3);
    for (TasksRow& row : run.tasks) {
      TaskScoreRow& copa = row.tasks[0].second;
      copa.file_checksum = checksum;
      copa.examples = examples;
      copa.shots = shots;
    }
    return run;
  };
  const auto noted = [](const RunLog& a, const RunLog& b) {
    const std::string all = text_report(compare({{"a", {a}}, {"b", {b}}}));
    return all.find("Scores of copa are of different files") != std::string::npos;
  };
  const RunLog run = scored_on("1f", 9, 0);
  EXPECT_FALSE(noted(run, run));
  EXPECT_TRUE(noted(run, scored_on("2f", 9, 0)));
  EXPECT_TRUE(noted(run, scored_on("1f", 8, 0)));
  EXPECT_TRUE(noted(run, scored_on("1f", 9, 1)));
  EXPECT_FALSE(noted(run, scored_run(0.3))) << "a run of an older version";
}

TEST(TaskCurves, AreInEveryReport) {
  RunLog plain = scored_run(0.3);
  plain.tasks.clear();
  for (EvalRow& row : plain.evals) row.val_loss_ema.reset();
  for (TrainRow& row : plain.train) row.skipped_steps.reset();
  const Comparison comparison = compare({{"a", {scored_run(0.3)}}, {"plain", {plain}}});
  const std::string table = text_report(comparison);
  for (const char* row :
       {"\ncopa accuracy                   0.500                    —\n", "\nlambada accuracy                0.250",
        "\nfinal, averaged weights         20.00", "\nskipped steps per run             2.0"})
    expect_contains(table, row);
  const std::string page = html_report(comparison, nullptr, 0);
  expect_contains(page, "Downstream tasks");
  expect_contains(page, "a, averaged weights");
  const auto json = json_report(comparison, nullptr);
  EXPECT_EQ(json["tasks"][0]["arms"][0]["curve"][1]["tokens"], 2000);
  EXPECT_EQ(json["arms"][0]["skipped_per_run"], 2);
  EXPECT_NEAR(json["arms"][0]["curve"][1]["perplexity_ema"].get<double>(), 20, 1e-9);

  const std::string without =
      html_report(compare({{"plain", {plain}}}), nullptr, 0) + text_report(compare({{"plain", {plain}}}));
  for (const char* absent : {"Downstream tasks", "averaged weights", "skipped steps", "weights' average"})
    EXPECT_EQ(without.find(absent), std::string::npos) << absent;
}

}  // namespace
}  // namespace gptmoe
