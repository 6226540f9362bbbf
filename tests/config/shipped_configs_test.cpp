#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "config/config.h"
#include "support/test_folders.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const fs::path kConfigs = fs::path(source_folder()) / "configs";

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
    EXPECT_NE(content.find("gptmoe train " + fs::relative(path, source_folder()).string()), std::string::npos);
  }
}

// The path of the TopK config that forms a pair with this Default config.
fs::path topk_of(const fs::path& path) {
  std::string name = path.filename().string();
  const size_t at = name.find("default.json");
  return at == std::string::npos ? fs::path() : path.parent_path() / name.replace(at, std::string::npos, "topk.json");
}

// Each config of a pair has the learning rate that suits its router.
TEST(ShippedConfigs, PairsDifferOnlyInRouterAndLearningRate) {
  int pairs = 0;
  for (const fs::path& path : shipped()) {
    if (topk_of(path).empty()) continue;
    SCOPED_TRACE(path.string());
    Config topk = load_config(topk_of(path)), other = load_config(path);
    EXPECT_EQ(topk.router.type, "topk");
    EXPECT_EQ(other.router.type, "default");
    topk.router = other.router = RouterConfig{};
    topk.optimizer.learning_rate = other.optimizer.learning_rate = 1;
    EXPECT_EQ(to_json(topk), to_json(other));
    ++pairs;
  }
  EXPECT_EQ(pairs, 1 + 7 + 5) << "quickstart, paper, small";
}

TEST(ShippedConfigs, PaperConfigsHaveThePapersSetup) {
  for (const fs::path& path : shipped()) {
    if (path.parent_path().filename() != "paper") continue;
    SCOPED_TRACE(path.string());
    const Config config = load_config(path);
    const ModelConfig& model = config.model;
    EXPECT_TRUE(model.attention_bias);
    EXPECT_EQ(model.intermediate_size, model.moe_intermediate_size);
    EXPECT_EQ(model.moe_intermediate_size * model.num_experts, 22 * model.hidden_size);
    EXPECT_EQ(model.head_dim, 64);
    EXPECT_EQ(config.train.steps, 5000);
    EXPECT_EQ(config.train.micro_batches(64), 1);
    EXPECT_EQ(config.schedule.lr_decay_steps, 10000);
    EXPECT_EQ(config.schedule.warmup_steps, 100);
    EXPECT_EQ(config.optimizer.learning_rate, config.router.type == "default" ? 9e-4 : 7e-4);
    EXPECT_EQ(config.train.global_batch_size * config.train.sequence_length, int64_t{1} << 21);
    EXPECT_FALSE(config.model.layer_is_moe(0));
    EXPECT_TRUE(config.model.layer_is_moe(1));
  }
}

// The paper gives one beta per shape, all for the uniform weighting.
TEST(ShippedConfigs, PaperConfigsHaveTheBetaOfTheirShape) {
  for (const auto& [shape, beta] : std::vector<std::pair<std::string, double>>{{"8c1", 0.9},
                                                                               {"8c1_0.56b", 0.9},
                                                                               {"8c1_7.33b", 0.9},
                                                                               {"8c2", 0.9},
                                                                               {"32c1", 0.65},
                                                                               {"32c2", 0.95},
                                                                               {"32c4", 0.999}}) {
    const json block = *load_config(kConfigs / "paper" / (shape + "_default.json")).router.block;
    EXPECT_EQ(block.at("ema_beta"), beta) << shape;
    EXPECT_EQ(block.at("ema_weighting"), "uniform") << shape;
  }
}

// A rival's file is SHAPE_ROUTER.json, or SHAPE_ROUTER_VARIANT.json. It may differ from TopK in the router block, in
// the balance loss if it balances loads in its own way, and in norm_topk_prob.
TEST(ShippedConfigs, RivalsDifferFromTopkInTheRouterAndItsLoss) {
  int rivals = 0;
  for (const fs::path& path : shipped()) {
    Config other = load_config(path);
    const std::string& router = other.router.type;
    if (router == "topk" || router == "default") continue;
    SCOPED_TRACE(path.string());
    const std::string name = path.filename().string(), shape = name.substr(0, name.find('_'));
    EXPECT_TRUE(name.starts_with(shape + "_" + router));
    Config topk = load_config(path.parent_path() / (shape + "_topk.json"));
    const double balance = other.model.router_aux_loss_coef;
    EXPECT_TRUE(balance == 0 || balance == topk.model.router_aux_loss_coef) << balance;
    topk.router = other.router = RouterConfig{};
    topk.model.router_aux_loss_coef = other.model.router_aux_loss_coef = 0;
    other.model.norm_topk_prob = topk.model.norm_topk_prob;
    EXPECT_EQ(to_json(topk), to_json(other));
    ++rivals;
  }
  EXPECT_EQ(rivals, 3 + 7) << "paper, small";
}

// The small configs have a width of 128 instead of 1024 and 12 layers instead of 24. The numbers of experts are the
// paper's.
TEST(ShippedConfigs, SmallConfigsHaveThePapersExperts) {
  for (const char* shape : {"8c1", "8c2", "32c1", "32c2", "32c4"}) {
    SCOPED_TRACE(shape);
    const auto model = [&](const char* folder) {
      return load_config(kConfigs / folder / (std::string(shape) + "_topk.json")).model;
    };
    const ModelConfig small = model("small"), paper = model("paper");
    EXPECT_EQ(small.num_experts, paper.num_experts);
    EXPECT_EQ(small.num_experts_per_tok, paper.num_experts_per_tok);
    EXPECT_EQ(small.moe_intermediate_size * 8, paper.moe_intermediate_size);
    EXPECT_EQ(small.intermediate_size * 8, paper.intermediate_size);
    EXPECT_EQ(small.norm_type, paper.norm_type);
    EXPECT_EQ(small.init, paper.init);
    EXPECT_EQ(small.router_aux_loss_coef, paper.router_aux_loss_coef);
  }
}

TEST(ShippedConfigs, QuickstartIsASmallVersionOfThePapersSetup) {
  const Config config = load_config(kConfigs / "quickstart/default.json");
  EXPECT_EQ(config.model.moe_layers(), 3);
  EXPECT_FALSE(config.model.layer_is_moe(0));
  EXPECT_EQ(config.model.norm_type, "layernorm");
  EXPECT_EQ(config.model.init, "small_wang");
  EXPECT_FALSE(config.model.tie_word_embeddings);
  EXPECT_EQ(config.train.steps * config.train.global_batch_size * config.train.sequence_length, 1228800);
  EXPECT_EQ(*config.router.block, json::parse(R"({"ema_beta": 0.9, "ema_weighting": "score",
                                                 "ema_update": "forward", "ema_init": "zeros",
                                                 "default_forward": true})"));
}

}  // namespace
}  // namespace gptmoe
