#include "report/labels.h"

#include <gtest/gtest.h>

#include "base/check.h"
#include "report/made_runs.h"
#include "support/error_message.h"

namespace gptmoe {
namespace {

using Names = std::vector<std::string>;

Arm arm_at(const std::string& dir, const std::string& family = "", const std::vector<Setting>& settings = {}) {
  RunLog run = run_of({60}, 1);
  run.dir = dir;
  return {dir, {run}, family.empty() ? dir : family, settings};
}

Names labels_of(std::vector<Arm> arms, const Names& given = {}, bool by_family = false) {
  label_arms(arms, given, by_family);
  Names labels;
  for (const Arm& arm : arms) labels.push_back(arm.label);
  return labels;
}

TEST(ShortNames, LeaveOutWhatAllShare) {
  EXPECT_EQ(short_names({"runs/8c1_topk", "runs/8c1_default"}), (Names{"topk", "default"}));
  EXPECT_EQ(short_names({"topk_small", "default_small"}), (Names{"topk", "default"}));
  EXPECT_EQ(short_names({"8c1_topk", "32c1_topk"}), (Names{"8c1", "32c1"}));
  EXPECT_EQ(short_names({"a/topk/x", "a/default/x"}), (Names{"topk", "default"}));
  EXPECT_EQ(short_names(
                {"m/8c1_topk/learning_rate=2e-3", "m/8c1_topk/learning_rate=4e-3", "m/8c1_default/learning_rate=2e-3"}),
            (Names{"topk 2e-3", "topk 4e-3", "default 2e-3"}));
  EXPECT_EQ(short_names({"a", "b/topk", "b/default"}), (Names{"a", "b/topk", "b/default"}));
  EXPECT_EQ(short_names({"runs/a"}), (Names{"a"}));
  EXPECT_EQ(short_names({"runs/topk/lr=2e-3"}), (Names{"topk lr=2e-3"}));
  EXPECT_EQ(short_names({}), Names());
}

TEST(ShortNames, KeepWhatSaysWhatANumberIs) {
  EXPECT_EQ(short_names({"width_64", "width_128"}), (Names{"width_64", "width_128"}));
  EXPECT_EQ(short_names({"x/lr=1e-3", "x/lr=1e-4"}), (Names{"lr=1e-3", "lr=1e-4"}));
  EXPECT_EQ(short_names({"a/lr=4e-3", "b/lr=4e-3,clip=2"}), (Names{"a lr=4e-3", "b lr=4e-3,clip=2"}));
}

TEST(ShortNames, AreNeverEmptyOrEqual) {
  EXPECT_EQ(short_names({"a", "a_b"}), (Names{"a", "a_b"}));
  EXPECT_EQ(short_names({"runs/a", "runs/a", "runs/a"}), (Names{"a", "a (2)", "a (3)"}));
  EXPECT_EQ(short_names({"runs/a", "runs/a", "runs/a (2)"}), (Names{"a", "a (2)", "a (2) (2)"}));
}

TEST(Labels, AreThoseOfTheFoldersUnlessGiven) {
  const std::vector<Arm> arms = {arm_at("cmp/8c1_topk/seed_1"), arm_at("cmp/8c1_default/seed_1")};
  EXPECT_EQ(labels_of(arms), (Names{"topk", "default"}));
  EXPECT_EQ(labels_of(arms, {"paper", "ours"}), (Names{"paper", "ours"}));
  EXPECT_EQ(labels_of({arm_at("cmp/topk/seed_1"), arm_at("cmp/topk/seed_2")}), (Names{"seed_1", "seed_2"}));
}

TEST(Labels, OfASweepAreThoseOfItsConfigs) {
  std::vector<Arm> arms;
  for (const char* family : {"8c1_topk", "8c1_default"})
    for (const char* rate : {"1e-3", "2e-3"})
      arms.push_back(arm_at(text("s/", family, "/rate=", rate, "/seed_1"), family, {{"o.rate", rate}}));
  EXPECT_EQ(labels_of(arms, {}, true),
            (Names{"topk rate=1e-3", "topk rate=2e-3", "default rate=1e-3", "default rate=2e-3"}));
  EXPECT_EQ(labels_of(arms, {"A", "B"}, true), (Names{"A rate=1e-3", "A rate=2e-3", "B rate=1e-3", "B rate=2e-3"}));
  label_arms(arms, {"A", "B"}, true);
  EXPECT_EQ(arms[3].family, "B");
}

TEST(Labels, AreRefusedUnlessThereIsOneForEach) {
  const std::vector<Arm> arms = {arm_at("a"), arm_at("b")};
  EXPECT_EQ(message<UserError>([&] { labels_of(arms, {"x"}); }),
            "--label: 1 label for 2: a, b; give one for each, in this order");
  EXPECT_EQ(message<UserError>([&] {
              labels_of(arms, {"x", "x"});
            }),
            "--label \"x\": two labels are equal; choose another");
  EXPECT_EQ(message<UserError>([&] { labels_of(arms, {"x", ""}); }), "--label \"\": a label is empty; choose another");
}

TEST(Labels, AreRefusedWithNamesThatCanBeToldApart) {
  std::vector<Arm> arms = {arm_at("s/topk/rate=4e-3/seed_1"), arm_at("s/default/rate=4e-3/seed_1")};
  for (Arm& arm : arms) arm.label = arm.family = "rate=4e-3";
  EXPECT_EQ(message<UserError>([&] { labels_of(arms, {"x"}); }),
            "--label: 1 label for 2: topk, default; give one for each, in this order");
}

TEST(Labels, AreRefusedWithControlCharactersOrTooLong) {
  const std::vector<Arm> arms = {arm_at("a"), arm_at("b")};
  for (const char* bad : {"\x1b[31mred", "two\nlines", "\x7f",
                          "\xc2\x9b"
                          "31m"})
    EXPECT_EQ(message<UserError>([&] {
                labels_of(arms, {"x", bad});
              }),
              "--label: label 2 has a control character; choose another");
  std::string longest;
  for (int i = 0; i < 60; ++i) longest += "\u00e9";
  EXPECT_EQ(labels_of(arms, {"\u00a0x", longest}), (Names{"\u00a0x", longest}));
  for (const std::string& bad : {std::string(61, 'a'), longest + "a", std::string(300, '\x85')})
    EXPECT_NE(message<UserError>([&] {
                labels_of(arms, {"x", bad});
              }).find("a label has at most 60 characters; choose a shorter one"),
              std::string::npos);
}

}  // namespace
}  // namespace gptmoe
