// A cached text gives the logits of a full pass, for every router and every kind of model.
#include "inference/text_cache.h"

#include <gtest/gtest.h>
#include <omp.h>

#include "support/model_fixture.h"
#include "support/router_cases.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

constexpr int64_t kContext = 24;

struct CachedModel {
  std::string name;
  json changes;
};
void PrintTo(const CachedModel& model, std::ostream* out) { *out << model.name; }

json with_model(const json& model) { return {{"model", model}}; }

std::vector<CachedModel> cached_models() {
  std::vector<CachedModel> models = {
      {"dense", with_model({{"num_experts", 0}})},
      {"layernorm_gelu", with_model({{"norm_type", "layernorm"}, {"hidden_act", "gelu"}})},
      {"grouped_queries", with_model({{"num_attention_heads", 6}, {"num_key_value_heads", 2}, {"head_dim", 4}})},
      {"qk_norm", with_model({{"qk_norm", true}})},
      {"head_norm", with_model({{"qk_norm", true}, {"qk_norm_scope", "head"}})},
      {"capped_logits", with_model({{"logit_softcap", 2.0}})},
      {"attention_bias", with_model({{"attention_bias", true}})},
      {"tied", with_model({{"tie_word_embeddings", true}})}};
  // Every router, in a model with many other options.
  for (const RouterCase& router : router_cases()) {
    json changes = with_model({{"num_hidden_layers", 3},
                               {"first_k_dense_replace", 1},
                               {"n_shared_experts", 1},
                               {"num_attention_heads", 6},
                               {"num_key_value_heads", 3},
                               {"head_dim", 4},
                               {"qk_norm", true},
                               {"attention_bias", true},
                               {"tie_word_embeddings", true}});
    changes.merge_patch(router.changes());
    models.push_back({"router_" + router.name, changes});
  }
  return models;
}

std::vector<int32_t> random_text(int64_t length, uint64_t seed) {
  std::vector<int32_t> tokens;
  for (uint64_t i = 0; std::ssize(tokens) < length; ++i)
    tokens.push_back(static_cast<int32_t>(Rng(seed, 0).below(i, 29)));
  return tokens;
}

class TextCacheTest : public ::testing::TestWithParam<CachedModel> {
 protected:
  void SetUp() override { omp_set_num_threads(1); }
};

std::vector<float> full_pass(Model& model, std::span<const int32_t> text) {
  ForwardWindow window(model.gpt(), *model.ops, *model.communicator, 1, std::ssize(text));
  model.ops->memory().upload(window.activations().tokens_BT, text.data());
  window.forward();
  return window.logits(std::ssize(text) - 1);
}

void expect_full_pass(Model& model, TextCache& cache, std::span<const int32_t> text, int64_t run) {
  const std::vector<float> expected = full_pass(model, text), logits = cache.logits_after(text);
  EXPECT_EQ(cache.latest_run(), run);
  float largest = 0, difference = 0;
  for (size_t v = 0; v < expected.size(); ++v) {
    largest = std::max(largest, std::abs(expected[v]));
    difference = std::max(difference, std::abs(logits[v] - expected[v]));
  }
  EXPECT_GT(largest, 0.1f);
  EXPECT_LE(difference, 1e-5f * largest) << text.size() << " tokens";
}

TEST_P(TextCacheTest, GivesTheLogitsOfFullPasses) {
  json changes = GetParam().changes;
  changes.merge_patch(with_model({{"max_position_embeddings", kContext}}));
  Model model(tiny_config(changes));
  for (int64_t s = 0; s < 3; ++s) model.step(s);  // moves router state and biases
  const std::vector<int32_t> text = random_text(kContext, 5);
  TextCache cache(model.gpt(), *model.ops, kContext);
  const std::span tokens(text);
  expect_full_pass(model, cache, tokens.first(9), 9);
  for (size_t n = 10; n <= 14; ++n) expect_full_pass(model, cache, tokens.first(n), 1);
  expect_full_pass(model, cache, tokens.first(20), 6);  // several new tokens, as in a conversation
  for (size_t n = 21; n <= text.size(); ++n) expect_full_pass(model, cache, tokens.first(n), 1);
}

INSTANTIATE_TEST_SUITE_P(Models, TextCacheTest, ::testing::ValuesIn(cached_models()),
                         [](const auto& info) { return info.param.name; });

TEST(TextCache, KeepsTheBeginningThatTextsShare) {
  Model model(tiny_config(with_model({{"max_position_embeddings", kContext}})));
  TextCache cache(model.gpt(), *model.ops, 20);
  const std::vector<int32_t> a = random_text(12, 1);
  std::vector<int32_t> b = a;
  b[7] = (b[7] + 1) % 29;
  b.push_back(3);
  const std::span<const int32_t> first(a), second(b);
  expect_full_pass(model, cache, first, 12);
  expect_full_pass(model, cache, second, 6);
  expect_full_pass(model, cache, second, 1);          // the same again
  expect_full_pass(model, cache, first, 5);           // back to the other
  expect_full_pass(model, cache, first.first(4), 1);  // a shorter text
  expect_full_pass(model, cache, first.last(9), 9);   // the same tokens at other positions
  expect_full_pass(model, cache, first.first(1), 1);
}

// With a document mask, only the last token's document runs. Its end-of-text token belongs to it.
TEST(TextCache, ForgetsTheDocumentsBeforeTheLast) {
  json changes = with_model({{"max_position_embeddings", kContext}});
  changes["data"] = {{"document_mask", true}, {"end_of_text", 2}};
  Model model(tiny_config(changes));
  TextCache cache(model.gpt(), *model.ops, kContext);
  const std::vector<int32_t> text = {2, 7, 8, 9, 2, 11, 12, 2, 2, 15, 16, 17};
  const std::span<const int32_t> tokens(text);
  expect_full_pass(model, cache, tokens.first(1), 1);
  expect_full_pass(model, cache, tokens.first(4), 3);
  expect_full_pass(model, cache, tokens.first(5), 1);  // the end that follows
  expect_full_pass(model, cache, tokens.first(7), 2);
  expect_full_pass(model, cache, tokens.first(9), 1);  // a document that is nothing but its end
  expect_full_pass(model, cache, tokens, 3);
}

TEST(TextCache, StatesItsMemory) {
  Model model(tiny_config(with_model({{"max_position_embeddings", 512}, {"num_key_value_heads", 1}})));
  // Two layers of a key and a value of 4 numbers at each of 256 positions, and two tables of 2 numbers at each.
  EXPECT_EQ(TextCache::bytes(model.gpt(), *model.ops, 256), (2 * 2 * 4 + 2 * 2) * 256 * 4);
}

TEST(TextCache, RefusesMoreThanItHolds) {
  Model model(tiny_config(with_model({{"max_position_embeddings", kContext}})));
  TextCache cache(model.gpt(), *model.ops, 8);
  EXPECT_THROW(cache.logits_after(random_text(9, 1)), BugError);
  EXPECT_THROW(TextCache(model.gpt(), *model.ops, kContext + 1), BugError);
}

}  // namespace
}  // namespace gptmoe::testing
