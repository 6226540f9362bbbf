#include <gtest/gtest.h>

#include "base/file.h"
#include "config/config.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const fs::path kConfigs = fs::path(GPTMOE_SOURCE_DIR) / "configs";

std::vector<fs::path> shipped() {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::recursive_directory_iterator(kConfigs))
    if (entry.path().extension() == ".json") paths.push_back(entry.path());
  return paths;
}

TEST(ShippedConfigs, AreValidAndRoundTrip) {
  EXPECT_GE(shipped().size(), 3u);
  for (const fs::path& path : shipped()) {
    SCOPED_TRACE(path.string());
    const Config config = load_config(path);
    const auto written = to_json(config);
    const Config again = parse_config(json::parse(written.dump(2)), "again");
    EXPECT_TRUE(again == config);
    EXPECT_EQ(to_json(again), written);
  }
}

TEST(ShippedConfigs, SayHowToRunThem) {
  for (const fs::path& path : shipped()) {
    SCOPED_TRACE(path.string());
    const std::string content = read_text_file(path);
    EXPECT_TRUE(content.starts_with("//"));
    EXPECT_NE(content.find("gptmoe train " + fs::relative(path, GPTMOE_SOURCE_DIR).string()), std::string::npos);
  }
}

TEST(ShippedConfigs, PairsDifferInTheRouterOnly) {
  int pairs = 0;
  for (const fs::path& path : shipped()) {
    if (path.filename() != "topk.json") continue;
    SCOPED_TRACE(path.string());
    Config topk = load_config(path), other = load_config(path.parent_path() / "default.json");
    EXPECT_EQ(topk.router.type, "topk");
    EXPECT_EQ(other.router.type, "default");
    topk.router = other.router = RouterConfig{};
    EXPECT_EQ(to_json(topk), to_json(other));
    ++pairs;
  }
  EXPECT_GE(pairs, 1);
}

// The two routers as the paper compares them: each at the learning rate that suits it.
TEST(ShippedConfigs, ThePapersPairDiffersInRouterAndLearningRate) {
  Config topk = load_config(kConfigs / "paper/8c1_topk.json"), other = load_config(kConfigs / "paper/8c1_default.json");
  EXPECT_EQ(topk.optimizer.learning_rate, 7e-4);
  EXPECT_EQ(other.optimizer.learning_rate, 9e-4);
  EXPECT_EQ(topk.router.type, "topk");
  EXPECT_EQ(other.router.type, "default");
  EXPECT_EQ(topk.train.global_batch_size * topk.train.sequence_length, int64_t{1} << 21);
  topk.router = other.router = RouterConfig{};
  topk.optimizer = other.optimizer = OptimizerConfig{};
  EXPECT_EQ(to_json(topk), to_json(other));
}

TEST(ShippedConfigs, QuickstartIsThePapersSetUpMadeSmall) {
  const Config config = load_config(kConfigs / "quickstart/default.json");
  EXPECT_EQ(config.model.moe_layers(), 3);
  EXPECT_FALSE(config.model.layer_is_moe(0));
  EXPECT_EQ(config.model.norm_type, "layernorm");
  EXPECT_EQ(config.model.init, "small_wang");
  EXPECT_FALSE(config.model.tie_word_embeddings);
  EXPECT_EQ(config.train.steps * config.train.global_batch_size * config.train.sequence_length, 1228800);
  EXPECT_EQ(config.router.block, json::parse(R"({"ema_beta": 0.9, "ema_weighting": "router_score",
                                                 "ema_update": "forward", "ema_init": "zeros",
                                                 "default_forward": true})"));
}

}  // namespace
}  // namespace gptmoe
