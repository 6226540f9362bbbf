// gptmoe analyze --domain: which experts the texts of several domains use.
#include "cli/cli_fixture.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class AnalyzeDomains : public CommandLine {
 protected:
  // Trains a model whose first layer is dense; the run is in `run`.
  void train() {
    write_config("run.json", {{"model", {{"first_k_dense_replace", 1}}}, {"train", {{"steps", 4}}}});
    succeed({"train", "run.json", "--out", "run"});
  }
  // The command that analyzes `domains` on 28 tokens: two batches of two windows of seven tokens.
  std::vector<std::string> command(const std::vector<std::string>& domains) {
    std::vector<std::string> arguments = {"analyze", "run", "--tokens", "28", "--batches", "1"};
    for (const std::string& domain : domains) arguments.insert(arguments.end(), {"--domain", domain});
    return arguments;
  }
  json analysis() { return json::parse(read_text_file(files_ / "run/analysis.json")); }
};

TEST_F(AnalyzeDomains, WritesSharesByDomainAndDrawsThem) {
  train();
  write_random_shard(files_ / "a.bin", 29, 80, 3);
  write_random_shard(files_ / "same.bin", 29, 80, 3);
  write_random_shard(files_ / "other.bin", 29, 120, 4);
  const ProcessResult result = succeed(command({"first=a.bin", "<same>=same.bin", "other=ot*r.bin"}));
  expect_contains(result.out, "domains     3, routing on 28 tokens of each\n");
  expect_contains(result.out, "\nlayer  entropy  busiest  idlest  domains  vec cos ");

  const json domains = analysis()["domains"];
  EXPECT_EQ(domains["names"], json({"first", "<same>", "other"}));
  EXPECT_EQ(domains["data"], json({"a.bin", "same.bin", "ot*r.bin"}));
  EXPECT_EQ(domains["tokens"], 28);
  ASSERT_EQ(domains["expert_share"].size(), 1u) << "one of the two layers has experts";
  const auto shares = domains["expert_share"][0].get<std::vector<std::vector<double>>>();
  ASSERT_EQ(shares.size(), 3u);
  for (const auto& row : shares) {
    ASSERT_EQ(row.size(), 5u);
    EXPECT_NEAR(row[0] + row[1] + row[2] + row[3] + row[4], 1, 1e-12);
  }
  EXPECT_EQ(shares[0], shares[1]);
  EXPECT_NE(shares[0], shares[2]);
  for (size_t e = 0; e < 5; ++e)
    EXPECT_NEAR(domains["mean_share"][0][e].get<double>(), (shares[0][e] + shares[1][e] + shares[2][e]) / 3, 1e-12);
  EXPECT_GT(domains["distance"][0], 0);

  succeed({"report", "run"});
  const std::string report = read_text_file(files_ / "run/report.html");
  expect_contains(report, "Experts by domain");
  for (const char* row : {"first, expert 4: ", "&lt;same&gt;, expert 0: ", "other, expert 0: ", "mean, expert 0: "})
    expect_contains(report, row);

  succeed(command({}));
  EXPECT_TRUE(analysis()["domains"].is_null());
  EXPECT_EQ(read_text_file(files_ / "run/report.html").find("Experts by domain"), std::string::npos);
}

TEST_F(AnalyzeDomains, TakesEvenlySpacedWindowsFromTheWholeText) {
  train();
  // The shard has nine windows; windows 0, 2, 4 and 6 must be taken.
  const Rng rng(9, 0);
  std::vector<int32_t> all, taken;
  for (uint64_t i = 0; i < 64; ++i) all.push_back(static_cast<int32_t>(rng.below(i, 29)));
  for (const int64_t window : {0, 2, 4, 6})
    taken.insert(taken.end(), all.begin() + 7 * window, all.begin() + 7 * (window + 1));
  taken.push_back(0);
  write_shard(files_ / "all.bin", 29, all);
  write_shard(files_ / "taken.bin", 29, taken);
  succeed(command({"all=all.bin", "taken=taken.bin"}));
  const json shares = analysis()["domains"]["expert_share"][0];
  EXPECT_EQ(shares[0], shares[1]);
}

TEST_F(AnalyzeDomains, RefusesWhatItCannotCompare) {
  train();
  write_random_shard(files_ / "a.bin", 29, 80, 3);
  write_random_shard(files_ / "short.bin", 29, 28, 4);  // three windows
  write_random_shard(files_ / "large.bin", 1000, 80, 5);
  for (const char* bad : {"a.bin", "=a.bin", "a="}) refuse(command({bad}), {text("--domain ", bad), "not NAME=GLOB"});
  refuse(command({"a=a.bin", "b=a.bin", "a=short.bin"}), {"--domain a: given twice"});
  refuse(command({"a=none_*.bin"}), {"none_*.bin: no file matches"});
  refuse(command({"a=a.bin", "b=short.bin"}),
         {"--domain b: short.bin has 21 tokens", "28 are needed per domain", "--tokens"});
  refuse(command({"a=a.bin", "b=large.bin"}), {"large.bin: token ", "model.vocab_size is 29"});
  EXPECT_FALSE(fs::exists(files_ / "run/analysis.json"));
}

}  // namespace
}  // namespace gptmoe::testing
