#include "report/reports.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <optional>
#include <sstream>
#include <thread>

#include "base/file.h"
#include "base/lock.h"
#include "base/seal.h"
#include "report/config_diff.h"
#include "report/html_report.h"
#include "report/json_report.h"
#include "report/made_runs.h"
#include "report/markup.h"
#include "report/number_text.h"
#include "report/table.h"
#include "report/tag_balance.h"
#include "support/error_message.h"

namespace gptmoe {
namespace {

RunLog moe_run(const std::vector<double>& perplexities, int64_t planned_steps, int64_t seed = 1) {
  RunLog run = run_of(perplexities, planned_steps, seed);
  for (EvalRow& row : run.evals) {
    row.expert_load = {{0.75, 0.25}, {0.5, 0.5}};
    row.router_entropy = {0.5, 0.25};
    TrainRow train;
    train.step = row.step;
    train.tokens = row.tokens;
    train.loss = row.val_loss;
    train.grad_norm = 1;
    train.tokens_per_second = 1000;
    train.load_balance_loss = 1.1;
    run.train.push_back(train);
  }
  return run;
}

Comparison two_arms() {
  return compare({{"topk", {moe_run({80, 60}, 2), moe_run({80, 62}, 2, 2)}},
                  {"default", {moe_run({90, 62}, 2), moe_run({90, 64}, 2, 2)}}});
}

TEST(Words, FormatsNumbers) {
  EXPECT_EQ(perplexity_text(9.9994), "9.999");
  EXPECT_EQ(perplexity_text(61.0), "61.00");
  EXPECT_EQ(perplexity_text(123.45), "123.5");
  EXPECT_EQ(perplexity_text(2048.4), "2048");
  EXPECT_EQ(perplexity_text(std::nan("")), "not a number");
  EXPECT_EQ(percent_text(0.018), "+1.8 %");
  EXPECT_EQ(percent_text(-0.0901), "−9.0 %");
  EXPECT_EQ(percent_text(-0.36), "−36 %");
  EXPECT_EQ(percent_text(-0.00001), "0.0 %");
  EXPECT_EQ(ratio_text(0.857), "0.86×");
  EXPECT_EQ(ratio_text(std::nan("")), "unknown");
}

TEST(Words, TheHeadlineStatesAnyOutcome) {
  EXPECT_EQ(headline(two_arms()),
            "topk ends at perplexity 61.00 ± 1.41, default at 63.00 ± 1.41 (200 tokens, 2 seeds each): "
            "default is 3.3 % higher (worse; 95 % interval +2.6 to +4.0 %).");
  EXPECT_EQ(
      headline(compare({{"topk", {run_of({80, 60}, 2)}}, {"default", {run_of({80, 54}, 2)}}})),
      "topk ends at perplexity 60.00, default at 54.00 (200 tokens, 1 seed each): default is 10 % lower (one seed, no "
      "verdict; --seeds 3 gives an interval).");
  EXPECT_EQ(headline(compare({{"topk", {run_of({80, 60}, 2)}}, {"a", {run_of({80, 60}, 2)}}, {"b", {run_of({}, 2)}}})),
            "topk is at perplexity 60.00, a at 60.00 (200 tokens, 1 seed each): a is level with topk (one seed, no "
            "verdict; --seeds 3 gives an interval); b has no comparable validation yet.");
}

TEST(Words, TheHeadlineSaysWhatDiverged) {
  RunLog ended = run_of({80, 60}, 4), overflowed = run_of({80, 60}, 2);
  ended.diverged = 3;
  overflowed.evals[1].val_loss = 800;
  const Arm healthy{"a", {run_of({80, 60}, 2)}};
  EXPECT_EQ(headline(compare({healthy, {"b", {ended}}})),
            "a ends at perplexity 60.00 (200 tokens, 1 seed each); b diverged.");
  const Comparison baseline = compare({{"topk", {ended, healthy.runs[0]}}, healthy});
  EXPECT_EQ(headline(baseline),
            "a ends at perplexity 60.00 (200 tokens, 2 and 1 seeds); topk, the baseline, diverged (1 of 2).");
  EXPECT_EQ(target_sentence(baseline, baseline.arms[1]), "");
  EXPECT_NE(text_report(baseline).find("\nfinal perplexity     diverged (1 of 2)  60.00\n"), std::string::npos)
      << text_report(baseline);
  for (const char* row : {"\ntokens to perplexity", "against baseline"})
    EXPECT_EQ(text_report(baseline).find(row), std::string::npos) << row;
  const Comparison both = compare({{"topk", {overflowed}}, {"default", {overflowed}}});
  EXPECT_EQ(headline(both), "Nothing to compare: topk, the baseline, diverged; default diverged.");
  EXPECT_EQ(target_sentence(both, both.arms[1]), "");
  EXPECT_EQ(headline(compare({{"run", {ended}}})), "run diverged.");
  const Comparison arm = compare({healthy, {"b", {ended}}});
  EXPECT_EQ(target_sentence(arm, arm.arms[1]), "");
}

TEST(Words, TokensToTarget) {
  const Comparison faster = compare({{"topk", {run_of({40, 20}, 2)}}, {"default", {run_of({40, 10}, 2)}}});
  EXPECT_EQ(target_sentence(faster, faster.arms[1]),
            "default reaches topk’s final perplexity of 20.00 in 25 % fewer tokens and 25 % less time.");
  const Comparison never = two_arms();
  EXPECT_EQ(
      target_sentence(never, never.arms[1]),
      "default does not reach topk’s final perplexity of 61.00 within its 200 tokens; it trains at 1.00× the tokens "
      "per second.");
}

TEST(Words, ASingleRunComparesNothing) {
  EXPECT_EQ(headline(compare({{"run", {run_of({80, 60}, 2)}}})),
            "run ends at validation perplexity 60.00 (200 tokens, 1 seed).");
  EXPECT_EQ(headline(compare({{"run", {run_of({}, 2)}}})), "run has nothing measured yet.");
  RunLog young = run_of({}, 2);
  TrainRow& row = young.train.emplace_back();
  row.step = 1, row.tokens = 50, row.loss = 3.25;
  EXPECT_EQ(headline(compare({{"run", {young}}})),
            "run is at training loss 3.250 after 50 tokens, without a validation yet.");
}

TEST(ConfigDiff, SeparatesWhatDiffersFromWhatIsShared) {
  RunLog a1 = run_of({20}, 1), a2 = a1, b1 = a1, b2 = a1;
  a1.config = {{"router", {{"type", "topk"}}}, {"train", {{"steps", 1}}}, {"seed", 1}};
  a2.config = {{"router", {{"type", "topk"}}}, {"train", {{"steps", 1}}}, {"seed", 2}};
  b1.config = {{"router", {{"type", "default"}, {"ema_beta", 0.9}}}, {"train", {{"steps", 1}}}, {"seed", 1}};
  b2.config = {{"router", {{"type", "default"}, {"ema_beta", 0.9}}}, {"train", {{"steps", 1}}}, {"seed", 2}};
  const ConfigDiff diff = diff_configs(compare({{"a", {a1, a2}}, {"b", {b1, b2}}}));
  ASSERT_EQ(diff.different.size(), 2u);
  EXPECT_EQ(diff.different[0].path, "router.type");
  EXPECT_EQ(diff.different[0].values, (std::vector<std::string>{"\"topk\"", "\"default\""}));
  EXPECT_EQ(diff.different[1].path, "router.ema_beta");
  EXPECT_EQ(diff.different[1].values, (std::vector<std::string>{"—", "0.9"}));
  ASSERT_EQ(diff.shared.size(), 2u);
  EXPECT_EQ(diff.shared[1].path, "seed");
  EXPECT_EQ(diff.shared[1].values[0], "1, 2");
}

TEST(HtmlReport, IsOneSelfContainedDocumentWithBalancedTags) {
  const std::string html = html_report(two_arms());
  EXPECT_EQ(unbalanced_tag(html), "");
  for (const char* word : {"http", "src=", "@import", "url(\"", "fetch("})
    EXPECT_EQ(html.find(word), std::string::npos);
  EXPECT_EQ(occurrences(html, "<script"), 2u) << "the charts' numbers and the program";
  EXPECT_EQ(html, html_report(two_arms())) << "equal runs give equal bytes";
  // Perplexity at three widths, gap, time, four charts of training, two heatmaps and two charts of entropy.
  EXPECT_EQ(occurrences(without_scripts(html), "<svg"), 13u);
  EXPECT_NE(html.find("<h1>topk ends at perplexity 61.00 ± 1.41, default at 63.00 ± 1.41"), std::string::npos);
}

TEST(HtmlReport, ADenseModelHasNoExpertSections) {
  const std::string html = html_report(compare({{"dense", {run_of({80, 60}, 2)}}}));
  EXPECT_EQ(unbalanced_tag(html), "");
  EXPECT_EQ(html.find("Expert load"), std::string::npos);
  EXPECT_EQ(html.find("Router entropy"), std::string::npos);
  EXPECT_EQ(html.find("Relative to"), std::string::npos);
  EXPECT_EQ(occurrences(without_scripts(html), "<svg"), 4u);
}

// The styles that keep a heading on the page of its chart, keep a row on one page, and repeat a table's head on each
// page.
TEST(HtmlReport, PrintsHeadingsAndTableHeadsWithWhatFollows) {
  const std::string html = without_scripts(html_report(two_arms()));
  EXPECT_GT(occurrences(html, "<h2>"), 4u);
  EXPECT_EQ(occurrences(html, "<div class=\"head\"><h2>"), occurrences(html, "<h2>"));
  for (size_t at = html.find("<div class=\"head\">"); at != std::string::npos;
       at = html.find("<div class=\"head\">", at + 1)) {
    const std::string after = html.substr(html.find("</div>\n", at) + 7, 40);
    const bool shown = after.starts_with("<figure") || after.starts_with("<div class=\"charts\"><figure") ||
                       after.starts_with("<div class=\"scroll\"><table") ||
                       after.starts_with("<p>The arms have the same");
    EXPECT_TRUE(shown) << "a heading is followed by its charts or table, not by " << after;
  }
  const std::string print = html.substr(html.find("@media print"));
  for (const char* rule :
       {".head, h3 { break-after: avoid; break-inside: avoid; }",
        "figure, tr, .notes, .caption { break-inside: avoid; }", "thead { display: table-header-group; }"})
    EXPECT_NE(print.find(rule), std::string::npos) << rule;
  EXPECT_EQ(occurrences(html, "<table"), occurrences(html, "<div class=\"scroll\"><table")) << "wide tables scroll";
}

TEST(HtmlReport, RunsWithoutMeasurementsStillGiveADocument) {
  EXPECT_EQ(unbalanced_tag(html_report(compare({{"a", {run_of({}, 2)}}, {"b", {run_of({}, 2)}}}))), "");
}

TEST(HtmlReport, EscapesLabelsPathsAndConfigs) {
  const std::string evil = "<script>alert(\"1\")</script>&'";
  RunLog run = moe_run({80, 60}, 3);
  run.dir = evil;
  run.config[evil] = evil;
  const std::string html = html_report(compare({{evil, {run}}, {"b" + evil, {run}}}));
  EXPECT_EQ(unbalanced_tag(html), "");
  EXPECT_EQ(occurrences(html, "<script"), 2u);
  EXPECT_EQ(occurrences(html, "</script"), 2u);
  EXPECT_NE(html.find("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;"), std::string::npos);
}

TEST(JsonReport, HoldsTheNumbersAndNullIfUnknown) {
  const nlohmann::ordered_json json = nlohmann::ordered_json::parse(json_report(two_arms()).dump());
  EXPECT_EQ(json["matched_tokens"], 200);
  EXPECT_NEAR(json["target_perplexity"].get<double>(), 61, 1e-12);
  const auto& arm = json["arms"][1];
  EXPECT_EQ(arm["label"], "default");
  EXPECT_NEAR(arm["final_perplexity"]["mean"].get<double>(), 63, 1e-12);
  const double first = 62.0 / 60 - 1, second = 64.0 / 62 - 1;
  EXPECT_NEAR(arm["matched_gap"]["mean"].get<double>(), std::sqrt((1 + first) * (1 + second)) - 1, 1e-12);
  EXPECT_EQ(arm["matched_gap"]["verdict"], "worse");
  EXPECT_EQ(arm["matched_gap"]["by_seed"][1]["seed"], 2);
  EXPECT_NEAR(arm["matched_gap"]["by_seed"][1]["gap"].get<double>(), second, 1e-12);
  EXPECT_EQ(arm["gap"][1]["gap"], arm["matched_gap"]);
  EXPECT_EQ(arm["gap"][1]["step"], 2);
  EXPECT_TRUE(json["arms"][0]["matched_gap"]["verdict"].is_null());
  EXPECT_TRUE(arm["target"].is_null());
  EXPECT_TRUE(arm["mfu"].is_null());
  EXPECT_EQ(arm["expert_load"], nlohmann::ordered_json::parse("[[1.5,0.5],[1.0,1.0]]"));
  EXPECT_EQ(arm["curve"].size(), 2u);
  EXPECT_EQ(arm["gap"].size(), 2u);
  EXPECT_EQ(arm["runs"][0]["finished"], true);
  EXPECT_EQ(arm["runs"][0]["diverged"], false);
  EXPECT_NEAR(arm["runs"][1]["perplexity"].get<double>(), 64, 1e-12);
  EXPECT_EQ(arm["dead_experts"], nlohmann::ordered_json::parse(R"({"mean": 0.0, "of": 4})"));
  EXPECT_EQ(json["arms"][0]["target"]["tokens"], 200.0);
}

TEST(TextReport, IsAlignedAndAtMostAHundredColumnsWide) {
  std::vector<Arm> arms;
  for (int i = 0; i < 5; ++i)
    arms.push_back({std::string(40, static_cast<char>('a' + i)),
                    {moe_run({1234567, 60.0 + i}, 2), moe_run({80, 61.0 + 3 * i}, 9)}});
  std::istringstream lines(text_report(compare(std::move(arms))));
  std::string line;
  size_t longest = 0, aligned = 0, width = 0;
  while (std::getline(lines, line)) {
    longest = std::max(longest, columns_of(line));
    if (line.starts_with("arm ")) width = columns_of(line);
    if (width == 0) continue;
    if (line.starts_with("final perplexity ") || line.starts_with("tokens per second ")) {
      EXPECT_EQ(columns_of(line), width) << line;
      ++aligned;
    }
  }
  EXPECT_LE(longest, 100u);
  EXPECT_EQ(aligned, 4u);  // two rows in two blocks
}

TEST(TextReport, CountsDeadExperts) {
  RunLog run = moe_run({80, 60}, 2);
  run.evals[1].expert_load[0] = {0.97, 0.03};
  EXPECT_NE(text_report(compare({{"moe", {run}}})).find("\ndead experts                    1 of 4\n"),
            std::string::npos)
      << text_report(compare({{"moe", {run}}}));
}

TEST(TextReport, SaysWhySpeedsAreNotCompared) {
  RunLog elsewhere = moe_run({80, 60}, 2);
  elsewhere.provenance[0].machine["host"] = "there";
  const std::string report = text_report(compare({{"topk", {moe_run({80, 60}, 2)}}, {"default", {elsewhere}}}));
  EXPECT_NE(report.find("\nthroughput against baseline       baseline  — (other machine)\n"), std::string::npos)
      << report;
  EXPECT_NE(
      report.find("  note: default (runs/made) was not trained with the same machine as topk (runs/made): speeds are"),
      std::string::npos)
      << report;
}

TEST(TextReport, OmitsRowsThatNoArmHas) {
  const std::string report = text_report(compare({{"dense", {run_of({80, 60}, 2)}}}));
  EXPECT_EQ(report.find("expert"), std::string::npos);
  EXPECT_EQ(report.find("baseline"), std::string::npos);
  EXPECT_NE(report.find("\nfinal perplexity     60.00\n"), std::string::npos);
}

TEST(WriteReports, FromRunDirectoriesToFiles) {
  TemporaryFolder folder;
  write_run(folder / "topk", train_line(1, 100, 50) + eval_line(4, 400, 3.0, 40));
  write_run(folder / "default", train_line(1, 100, 40) + eval_line(4, 400, 2.5, 50) + "{\"event\":\"tra");
  const Comparison comparison = compare({{"topk", {read_run(folder / "topk")}},
                                         {"de\xff"
                                          "fault",
                                          {read_run(folder / "default")}}});
  const ReportPaths paths = write_reports(folder / "new/report", comparison);
  EXPECT_EQ(paths.html, folder / "new/report/report.html");
  EXPECT_EQ(read_text_file(paths.html), html_report(comparison));
  const auto json = nlohmann::json::parse(read_text_file(paths.json));
  EXPECT_NEAR(json["arms"][1]["throughput_ratio"].get<double>(), 0.8, 1e-12);
}

// Otherwise report.html could come from one process and report.json from the other.
TEST(WriteReports, WaitForAnotherWriter) {
  TemporaryFolder folder;
  write_run(folder / "run", train_line(1, 100, 50) + eval_line(4, 400, 3.0, 40));
  const Comparison comparison = compare({{"run", {read_run(folder / "run")}}});
  std::optional<OutputLock> other(std::in_place, folder / "report.html", "");
  std::atomic<bool> written = false;
  std::thread writer([&] {
    write_reports(folder.path(), comparison);
    written = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(written);
  EXPECT_FALSE(std::filesystem::exists(folder / "report.json"));
  other.reset();
  writer.join();
  EXPECT_TRUE(std::filesystem::exists(folder / "report.json"));
}

TEST(ReadRun, DamageInARowIsNamed) {
  TemporaryFolder folder;
  std::string first = train_line(1, 100, 50), second = eval_line(4, 400, 3.0, 40);
  for (std::string* line : {&first, &second}) *line = sealed(line->substr(0, line->size() - 1));
  write_run(folder / "run", first + second);
  EXPECT_EQ(read_run(folder / "run").evals.size(), 1u);
  const size_t digit = second.find("\"step\":4") + 7;
  second[digit] = '5';
  write_run(folder / "run", first + second);
  EXPECT_EQ(message<UserError>([&] { read_run(folder / "run"); }),
            (folder / "run/metrics.jsonl").string() +
                ":2: does not match its own checksum: it is damaged, cut short or "
                "edited; repair or remove the line");
}

}  // namespace
}  // namespace gptmoe
