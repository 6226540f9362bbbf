#include "report/validation_sets.h"

#include <gtest/gtest.h>

#include <cmath>

#include "report/made_runs.h"
#include "report/table.h"

namespace gptmoe {
namespace {

using Curve = std::vector<double>;

// A run with two sets, "wiki" and "books", of equal size. Its perplexities on each are given.
RunLog run_on(const Curve& wiki, const Curve& books) {
  RunLog run = run_of(wiki, std::ssize(wiki));
  for (size_t i = 0; i < wiki.size(); ++i) {
    run.evals[i].val_loss = (std::log(wiki[i]) + std::log(books[i])) / 2;
    run.evals[i].val_loss_by_set = {{"wiki", std::log(wiki[i])}, {"books", std::log(books[i])}};
  }
  return run;
}

TEST(ValidationSets, EachHasItsOwnComparison) {
  const Comparison comparison =
      compare({{"topk", {run_on({80, 20}, {90, 60})}}, {"default", {run_on({60, 10}, {95, 66})}}});
  const std::vector<SetComparison> sets = compare_by_set(comparison);
  ASSERT_EQ(sets.size(), 2u);
  EXPECT_EQ(sets[0].name, "wiki");
  EXPECT_NEAR(sets[0].comparison.arms[0].final_perplexity().mean, 20, 1e-9);
  EXPECT_NEAR(sets[0].comparison.arms[1].matched_gap.mean, 10.0 / 20 - 1, 1e-9);
  // 20 lies on the line from ln 60 at 100 tokens to ln 10 at 200.
  ASSERT_TRUE(sets[0].comparison.arms[1].target.has_value());
  EXPECT_NEAR(sets[0].comparison.arms[1].target->tokens, 100 + 100 * std::log(60.0 / 20) / std::log(6.0), 1e-9);
  EXPECT_EQ(sets[1].name, "books");
  EXPECT_NEAR(sets[1].comparison.arms[1].matched_gap.mean, 66.0 / 60 - 1, 1e-9);
  EXPECT_FALSE(sets[1].comparison.arms[1].target.has_value());
  const std::string report = text_report(comparison);
  EXPECT_NE(report.find("validation set wiki\n\narm "), std::string::npos) << report;
  EXPECT_LT(report.find("validation set wiki"), report.find("validation set books"));
}

TEST(ValidationSets, OnlyThoseThatEveryRunHas) {
  RunLog all = run_on({80, 20}, {90, 60}), partly = run_on({60, 10}, {95, 66});
  for (RunLog* run : {&all, &partly})
    for (EvalRow& row : run->evals) row.val_loss_by_set->emplace_back("code", row.val_loss);
  partly.evals[1].val_loss_by_set->erase(partly.evals[1].val_loss_by_set->begin() + 1);
  const std::vector<SetComparison> sets = compare_by_set(compare({{"topk", {all}}, {"default", {partly}}}));
  ASSERT_EQ(sets.size(), 2u);
  EXPECT_EQ(sets[0].name, "wiki");
  EXPECT_EQ(sets[1].name, "code");
  EXPECT_TRUE(compare_by_set(compare({{"topk", {run_of({80, 20}, 2)}}})).empty());
}

}  // namespace
}  // namespace gptmoe
