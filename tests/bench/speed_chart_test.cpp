#include "bench/speed_chart.h"

#include <gtest/gtest.h>

#include <deque>

namespace gptmoe {
namespace {

// Variants in the order of make_variants(). Each has two rounds: one takes `seconds`, the other half as long.
struct Speeds {
  std::deque<Variant> variants;
  std::deque<std::vector<double>> rounds;
  std::vector<VariantSpeed> speeds;

  void add(const std::string& path, size_t place, int64_t experts, int64_t tokens, double seconds) {
    Variant variant{path, path, place, {}};
    variant.config.model.num_experts = experts;
    variant.config.train.global_batch_size = tokens;
    variant.config.train.sequence_length = 1;
    speeds.push_back(
        {variants.emplace_back(std::move(variant)), rounds.emplace_back(std::vector<double>{seconds, seconds / 2})});
  }
};

std::vector<double> xs(const Series& series) {
  std::vector<double> all;
  for (const ChartPoint& point : series.points) all.push_back(point.x);
  return all;
}
std::vector<std::string> labels(const Chart& chart) {
  std::vector<std::string> all;
  for (const Series& series : chart.series) all.push_back(series.label);
  return all;
}

using Labels = std::vector<std::string>;
using Xs = std::vector<double>;

TEST(SpeedChart, PointsAreTokensPerSecondWithTheRangeOfTheRounds) {
  Speeds speeds;
  speeds.add("a.json", 0, 8, 1200, 2);
  const Chart chart = speed_chart(speeds.speeds);
  ASSERT_EQ(chart.series.size(), 1u);
  ASSERT_EQ(chart.series[0].points.size(), 1u);
  const ChartPoint& point = chart.series[0].points[0];
  EXPECT_EQ(point.x, 1200);
  EXPECT_EQ(point.y, 800) << "from the median of 2 and 1 seconds";
  EXPECT_EQ(point.low, 600);
  EXPECT_EQ(point.high, 1200);
}

TEST(SpeedChart, AChartOverExpertsHasALinePerNumberOfTokens) {
  Speeds speeds;
  for (size_t place : {0, 1})
    for (int64_t experts : {8, 16, 32})
      for (int64_t tokens : {100, 200}) speeds.add(place == 0 ? "a.json" : "b.json", place, experts, tokens, 1);
  const Chart chart = speed_chart(speeds.speeds);
  EXPECT_EQ(chart.x.title, "experts");
  EXPECT_EQ(labels(chart),
            (Labels{"a.json, 100 tokens", "a.json, 200 tokens", "b.json, 100 tokens", "b.json, 200 tokens"}));
  for (size_t i = 0; i < chart.series.size(); ++i) {
    EXPECT_EQ(xs(chart.series[i]), (Xs{8, 16, 32}));
    EXPECT_EQ(chart.series[i].color, static_cast<int>(i));
    for (const ChartPoint& point : chart.series[i].points) EXPECT_EQ(point.low, i % 2 == 0 ? 100 : 200);
  }
}

TEST(SpeedChart, AChartOverTokensHasALinePerConfig) {
  Speeds speeds;
  for (size_t place : {0, 1})  // each with its own number of experts
    for (int64_t tokens : {100, 200})
      speeds.add(place == 0 ? "a.json" : "b.json", place, place == 0 ? 8 : 4, tokens, 1);
  const Chart chart = speed_chart(speeds.speeds);
  EXPECT_EQ(chart.x.title, "tokens a step");
  EXPECT_EQ(labels(chart), (Labels{"a.json", "b.json"}));
  for (const Series& series : chart.series) EXPECT_EQ(xs(series), (Xs{100, 200}));
}

TEST(SpeedChart, AConfigGivenTwiceHasTwoLines) {
  Speeds speeds;
  for (size_t place : {0, 1}) speeds.add("a.json", place, 8, 100, 1);
  const Chart chart = speed_chart(speeds.speeds);
  ASSERT_EQ(chart.series.size(), 2u);
  for (const Series& series : chart.series) EXPECT_EQ(xs(series), Xs{100});
}

}  // namespace
}  // namespace gptmoe
