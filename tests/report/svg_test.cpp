#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/check.h"
#include "report/markup.h"
#include "report/svg_chart.h"
#include "report/svg_heatmap.h"
#include "report/tag_balance.h"
#include "report/ticks.h"

namespace gptmoe {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

void expect_ticks(const std::vector<double>& ticks, const std::vector<double>& expected) {
  ASSERT_EQ(ticks.size(), expected.size());
  for (size_t i = 0; i < ticks.size(); ++i) EXPECT_NEAR(ticks[i], expected[i], 1e-9 * std::fabs(expected[i])) << i;
}

Chart line_chart(std::vector<ChartPoint> points) {
  Chart chart;
  chart.id = "chart";
  chart.series.push_back({"topk", 0, 1, std::move(points)});
  return chart;
}

TEST(Ticks, AreMultiplesOfOneTwoAndFive) {
  expect_ticks(nice_ticks(0, 10, 5), {0, 2, 4, 6, 8, 10});
  expect_ticks(nice_ticks(57.3, 121, 6), {60, 70, 80, 90, 100, 110, 120});
  expect_ticks(nice_ticks(-0.012, 0.031, 4), {-0.01, 0, 0.01, 0.02, 0.03});
  expect_ticks(nice_ticks(0, 1228800, 6), {0, 200e3, 400e3, 600e3, 800e3, 1e6, 1.2e6});
  EXPECT_FALSE(std::signbit(nice_ticks(-1, 1, 2)[1]));
}

TEST(Ticks, LogAxesStepByDecadesIfThereAreMany) {
  expect_ticks(log_ticks(1.5, 300, 5), {2, 5, 10, 20, 50, 100, 200});
  expect_ticks(log_ticks(1, 1e6, 5), {1, 10, 100, 1e3, 1e4, 1e5, 1e6});
  expect_ticks(log_ticks(60, 120, 3), {60, 80, 100, 120});
  expect_ticks(log_ticks(37, 310, 3), {50, 70, 100, 200, 300});
}

TEST(Markup, EscapesAndShortens) {
  EXPECT_EQ(escape("<b a=\"1\" c='2'>&"), "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;");
  EXPECT_EQ(columns_of("±0.4×"), 5u);
  EXPECT_EQ(shortened("±0.4×", 4), "±0.…");
  EXPECT_EQ(shortened("±0.4×", 5), "±0.4×");
  EXPECT_EQ(coordinate(12.04), "12");
  EXPECT_EQ(coordinate(-0.01), "0");
  EXPECT_EQ(coordinate(12.55), "12.6");
}

TEST(SvgChart, PutsPointsWhereTheyBelong) {
  Chart chart = line_chart({{0, 0, 0, 0, ""}, {5, 5, 0, 0, ""}, {10, 10, 0, 0, "end"}});
  chart.y.from = 0;
  chart.y.to = 10;
  const std::string svg = svg_line_chart(chart);
  EXPECT_EQ(unbalanced_tag(svg), "");
  // Three points on the frame's diagonal; the middle one is halfway.
  const size_t at = svg.find("class=\"line c0\"");
  ASSERT_NE(at, std::string::npos);
  double x[3], y[3];
  ASSERT_EQ(std::sscanf(svg.c_str() + svg.find(" d=\"", at), " d=\"M%lf %lfL%lf %lfL%lf %lf\"", &x[0], &y[0], &x[1],
                        &y[1], &x[2], &y[2]),
            6);
  EXPECT_NEAR(x[1], 0.5 * (x[0] + x[2]), 0.11);
  EXPECT_NEAR(y[1], 0.5 * (y[0] + y[2]), 0.11);
  EXPECT_LT(y[2], y[0]);
  EXPECT_EQ(x[2], chart.width - 4);
  EXPECT_NE(svg.find("<title>end</title>"), std::string::npos);
  EXPECT_EQ(svg.find("class=\"band"), std::string::npos);
}

TEST(SvgChart, ALogAxisPlacesTheGeometricMeanHalfWay) {
  Chart chart = line_chart({{0, 1, 0, 0, ""}, {1, 10, 0, 0, ""}, {2, 100, 0, 0, ""}, {3, 0, 0, 0, ""}});
  chart.y.scale = Scale::log;
  const std::string svg = svg_line_chart(chart);
  double x[3], y[3];
  ASSERT_EQ(std::sscanf(svg.c_str() + svg.find(" d=\"M", svg.find("class=\"line")), " d=\"M%lf %lfL%lf %lfL%lf %lf\"",
                        &x[0], &y[0], &x[1], &y[1], &x[2], &y[2]),
            6);
  EXPECT_NEAR(y[1], 0.5 * (y[0] + y[2]), 0.11);
}

TEST(SvgChart, BreaksAtMissingValuesAndDrawsBandsOnlyWhereThereIsASpread) {
  const std::string svg = svg_line_chart(line_chart(
      {{0, 1, 0.5, 2, ""}, {1, 2, 1, 3, ""}, {2, kNaN, kNaN, kNaN, "gone"}, {3, 2, 2, 2, ""}, {4, 1, 1, 1, ""}}));
  EXPECT_EQ(unbalanced_tag(svg), "");
  EXPECT_EQ(occurrences(svg, "class=\"line c0\""), 2u);
  EXPECT_EQ(occurrences(svg, "class=\"band c0\""), 1u);
  EXPECT_EQ(svg.find("gone"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

TEST(SvgChart, OddInputsStayDrawable) {
  for (const Chart& chart : {line_chart({}), line_chart({{kNaN, 1, 0, 0, ""}})}) {
    const std::string svg = svg_line_chart(chart);
    EXPECT_EQ(unbalanced_tag(svg), "");
    EXPECT_NE(svg.find("nothing measured yet"), std::string::npos);
  }
  for (double value : {0.0, 7.0, -3.0, 1e300}) {
    const std::string svg = svg_line_chart(line_chart({{5, value, value, value, ""}}));
    EXPECT_EQ(unbalanced_tag(svg), "");
    EXPECT_EQ(svg.find("nan"), std::string::npos) << value;
    EXPECT_EQ(svg.find("inf"), std::string::npos) << value;
    EXPECT_EQ(occurrences(svg, "class=\"dot c0\""), 1u) << value;
  }
}

TEST(SvgChart, EscapesLabelsAndWrapsALongLegend) {
  Chart chart = line_chart({{0, 1, 0, 0, "<x>"}, {1, 2, 0, 0, ""}});
  chart.y.title = "a & b";
  for (int i = 0; i < 7; ++i) chart.series.push_back({"<script>alert('a long label')", i, 1, chart.series[0].points});
  const std::string svg = svg_line_chart(chart);
  EXPECT_EQ(unbalanced_tag(svg), "");
  EXPECT_EQ(svg.find("<script"), std::string::npos);
  EXPECT_EQ(svg.find("<x>"), std::string::npos);
  EXPECT_NE(svg.find("a &amp; b"), std::string::npos);
  EXPECT_EQ(occurrences(svg, "class=\"legend\""), 8u);
}

TEST(SvgChart, MarksTheGivenTicksAndLeavesOutLabelsThatWouldTouch) {
  Chart chart = line_chart({{1, 1, 0, 0, ""}, {100, 2, 0, 0, ""}});
  chart.x.ticks = {{0.5, "outside"}, {1, "first"}, {1.5, "touches"}, {50, "half"}, {100, "last"}};
  const std::string svg = svg_line_chart(chart);
  for (const char* shown : {">first<", ">half<", ">last<"}) EXPECT_EQ(occurrences(svg, shown), 1u) << shown;
  for (const char* left_out : {">outside<", ">touches<", ">20<"}) EXPECT_EQ(svg.find(left_out), std::string::npos);
  EXPECT_EQ(occurrences(svg, "class=\"axis\""), 5u) << "the axis, and a mark for each tick inside";
}

// The script uses these numbers to find the point under the pointer.
TEST(SvgChart, SaysWhereItsAxesAre) {
  Chart chart = line_chart({{0, 0, 0, 0, ""}, {10, 10, 0, 0, ""}});
  chart.y.from = 0;
  chart.y.to = 10;
  const std::string svg = svg_line_chart(chart);
  double left, right, top, bottom, x0, x1, y0, y1;
  ASSERT_EQ(std::sscanf(svg.c_str() + svg.find("data-frame"), "data-frame=\"%lf %lf %lf %lf %lf %lf %lf %lf\"", &left,
                        &right, &top, &bottom, &x0, &x1, &y0, &y1),
            8);
  EXPECT_EQ((std::vector<double>{x0, x1, y0, y1}), (std::vector<double>{0, 10, 0, 10}));
  const std::string path =
      text(" d=\"M", coordinate(left), " ", coordinate(bottom), "L", coordinate(right), " ", coordinate(top), "\"");
  EXPECT_NE(svg.find(path), std::string::npos) << path << svg;
  EXPECT_EQ(svg_line_chart(line_chart({})).find("data-frame"), std::string::npos);
  EXPECT_EQ(occurrences(svg, "<g class=\"entry\" data-series=\"0\">"), 1u);
}

TEST(SvgChart, AReferencesLabelStaysInsideTheFrame) {
  Chart chart = line_chart({{0, 1, 0, 0, ""}, {1, 2, 0, 0, ""}});
  chart.reference = 1.5;
  chart.reference_label = std::string(200, 'n');
  const std::string svg = svg_line_chart(chart);
  const size_t at = svg.find(">nnn") + 1;
  EXPECT_LT(text_width(svg.substr(at, svg.find('<', at) - at), kFont), chart.width);
}

TEST(SvgHeatmap, HasACellPerValue) {
  Heatmap map;
  map.values = {{1.5, 0.5}, {1.0, kNaN, 0.25}};
  map.row_labels = {"layer 1", "layer <2>"};
  const std::string svg = svg_heatmap(map);
  EXPECT_EQ(unbalanced_tag(svg), "");
  EXPECT_EQ(occurrences(svg, "class=\"cell\""), 5u);
  EXPECT_EQ(occurrences(svg, "class=\"over\""), 2u);
  EXPECT_EQ(occurrences(svg, "class=\"under\""), 2u);
  EXPECT_NE(svg.find("opacity=\"0.450\""), std::string::npos);  // 0.9 * 0.5: 1.5 is halfway from 1 to 2
  EXPECT_NE(svg.find("layer &lt;2&gt;, number 3 of 3: 0.250"), std::string::npos);
}

TEST(SvgHeatmap, ShowsNumbersAroundAnyMiddle) {
  Heatmap map;
  map.values = {{-0.5, 0.25, -1}};
  map.row_labels = {"row"};
  map.column_labels = {"a", "<b>"};
  map.low = -1, map.middle = 0, map.full = 1;
  const std::string svg = svg_heatmap(map);
  EXPECT_EQ(occurrences(svg, "class=\"under\""), 2u);
  EXPECT_EQ(occurrences(svg, "class=\"over\""), 1u);
  for (const char* opacity : {"0.450", "0.225", "0.900"})
    EXPECT_NE(svg.find("opacity=\"" + std::string(opacity)), std::string::npos) << opacity;
  EXPECT_NE(svg.find("row, &lt;b&gt;: 0.250"), std::string::npos);
  EXPECT_NE(svg.find("row, number 3 of 3: -1.000"), std::string::npos);
}

TEST(LineChart, ADashedSeriesIsDashedInTheKeyToo) {
  Chart chart = line_chart({{0, 1, 1, 1, ""}, {1, 2, 2, 2, ""}});
  EXPECT_EQ(occurrences(svg_line_chart(chart), "dashed"), 0u);
  chart.series[0].dashed = true;
  const std::string svg = svg_line_chart(chart);
  EXPECT_EQ(occurrences(svg, "class=\"line dashed c0\""), 1u);
  EXPECT_EQ(occurrences(svg, "class=\"key dashed c0\""), 1u);
  EXPECT_EQ(occurrences(svg, "class=\"dot"), 0u);
}

TEST(LineChart, LinesOfOneColourDiffer) {
  Chart chart = line_chart({{0, 1, 1, 1, ""}, {1, 2, 2, 2, ""}});
  for (int color = 1; color <= kPaletteSize; ++color)
    chart.series.push_back({"other", color, 1, chart.series[0].points});
  const std::string svg = svg_line_chart(chart);
  for (const char* part : {"line", "key"})
    for (const char* style : {" c0\"", " dotted c0\"", " c5\""})
      EXPECT_EQ(occurrences(svg, text("class=\"", part, style)), 1u) << part << style;
  EXPECT_EQ(occurrences(svg, "dotted"), 2u);
}

}  // namespace
}  // namespace gptmoe
