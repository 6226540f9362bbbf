#include "inference/generate.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <limits>
#include <map>

#include "support/model_fixture.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

// ---- sample_token ------------------------------------------------------------------------------------------------

// Counts how often each token is drawn when `uniform` takes n equally spaced values.
std::map<int32_t, int> draws(const std::vector<float>& logits, const SamplingOptions& options, int n) {
  std::map<int32_t, int> counts;
  for (int i = 0; i < n; ++i) ++counts[sample_token(logits, options, (i + 0.5) / n)];
  return counts;
}

// Probabilities 0.2, 0.5, 0.3.
std::vector<float> three_tokens() { return {std::log(0.2f), std::log(0.5f), std::log(0.3f)}; }

TEST(SampleToken, DrawsFromTheSoftmax) {
  EXPECT_EQ(draws(three_tokens(), {}, 1000), (std::map<int32_t, int>{{0, 200}, {1, 500}, {2, 300}}));
}

TEST(SampleToken, TemperatureSharpensAndFlattens) {
  // Temperature 0.5 squares the probabilities: 0.04, 0.25 and 0.09, out of 0.38.
  EXPECT_EQ(draws(three_tokens(), {.temperature = 0.5}, 380), (std::map<int32_t, int>{{0, 40}, {1, 250}, {2, 90}}));
  const auto flat = draws(three_tokens(), {.temperature = 100}, 300);
  for (int32_t id : {0, 1, 2}) EXPECT_NEAR(flat.at(id), 100, 2);
}

TEST(SampleToken, TemperatureZeroTakesTheLikeliestAndTiesGoToTheLowestId) {
  for (double uniform : {0.0, 0.5, 0.999999}) {
    EXPECT_EQ(sample_token({1, 3, 3, 2}, {.temperature = 0}, uniform), 1);
    EXPECT_EQ(sample_token({1, 3, 3, 2}, {.top_k = 1}, uniform), 1);
    EXPECT_EQ(sample_token({1, 3, 3, 2}, {.top_p = 0}, uniform), 1);
    EXPECT_EQ(sample_token({1, 3, 3, 2}, {.top_p = 1e-9}, uniform), 1);
  }
}

TEST(SampleToken, TopKKeepsTheKLikeliest) {
  EXPECT_EQ(draws(three_tokens(), {.top_k = 2}, 800), (std::map<int32_t, int>{{1, 500}, {2, 300}}));
  EXPECT_EQ(draws({1, 1, 1, 1}, {.top_k = 2}, 10), (std::map<int32_t, int>{{0, 5}, {1, 5}}));
  EXPECT_EQ(draws(three_tokens(), {.top_k = 99}, 1000).size(), 3u);
}

TEST(SampleToken, TopPKeepsTheSmallestSetOfThatMass) {
  EXPECT_EQ(draws(three_tokens(), {.top_p = 0.49}, 100), (std::map<int32_t, int>{{1, 100}}));
  EXPECT_EQ(draws(three_tokens(), {.top_p = 0.6}, 800), (std::map<int32_t, int>{{1, 500}, {2, 300}}));
  EXPECT_EQ(draws(three_tokens(), {.top_p = 0.9}, 1000).size(), 3u);
  // top_p applies to what top_k leaves.
  EXPECT_EQ(draws(three_tokens(), {.top_k = 2, .top_p = 0.6}, 100), (std::map<int32_t, int>{{1, 100}}));
}

TEST(SampleToken, HandlesLogitsOfAnySize) {
  EXPECT_EQ(sample_token({-3e38f, 3e38f, 0}, {}, 0.999999), 1);
  EXPECT_EQ(sample_token({5, 5, 5}, {.temperature = 1e-300}, 0.5), 1);
}

TEST(SampleToken, NeverReturnsALogitOfMinusInfinity) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  for (const SamplingOptions& options : {SamplingOptions{.temperature = 0}, SamplingOptions{.temperature = 100},
                                         SamplingOptions{.top_k = 3}, SamplingOptions{.top_p = 0.999999}})
    for (const auto& [id, count] : draws({kNever, 1, kNever, 0, kNever}, options, 100)) EXPECT_TRUE(id == 1 || id == 3);
}

TEST(SampleToken, SaysThatAModelDiverged) {
  for (const float wrong : {std::nanf(""), std::numeric_limits<float>::infinity()})
    EXPECT_THROW(sample_token({0, wrong, 1}, {}, 0.5), Failure);
  EXPECT_THROW(sample_token({-std::numeric_limits<float>::infinity()}, {}, 0.5), Failure);
}

// ---- generate ----------------------------------------------------------------------------------------------------

class Generate : public ::testing::Test {
 protected:
  void SetUp() override { omp_set_num_threads(1); }

  static Config with_context(int64_t context) {
    return tiny_config({{"model", {{"max_position_embeddings", context}}}, {"router", {{"type", "default"}}}});
  }
  static std::vector<int32_t> text_of(int64_t length) {
    std::vector<int32_t> tokens;
    for (int64_t i = 0; i < length; ++i) tokens.push_back(static_cast<int32_t>((i * i + 3 * i) % 29));
    return tokens;
  }
  static std::vector<int32_t> continued(const Config& config, const std::vector<int32_t>& prompt, int64_t count,
                                        const SamplingOptions& options = {}, uint64_t seed = 1) {
    Model model(config);
    TextCache cache(model.gpt(), *model.ops, config.model.max_position_embeddings);
    std::vector<int32_t> made;
    generate(cache, prompt, count, options, {}, Rng(seed, 0), [&](int32_t id) {
      made.push_back(id);
      return true;
    });
    return made;
  }
};

TEST_F(Generate, WritesPastTheContext) {
  const auto made = continued(with_context(20), text_of(3), 60);
  ASSERT_EQ(made.size(), 60u);
  for (int32_t id : made) EXPECT_TRUE(id >= 0 && id < 29) << id;
  EXPECT_EQ(continued(with_context(20), text_of(50), 4).size(), 4u) << "a prompt longer than the context";
}

TEST_F(Generate, SeesOnlyTheLastTokensThatFitTheContext) {
  std::vector<int32_t> a = text_of(40), b = a;
  for (size_t i = 0; i < 20; ++i) b[i] = 28 - b[i];
  EXPECT_EQ(continued(with_context(20), a, 5), continued(with_context(20), b, 5));
  EXPECT_NE(continued(with_context(40), a, 30), continued(with_context(40), b, 30));
}

TEST_F(Generate, TheSameSeedGivesTheSameText) {
  const Config config = with_context(32);
  EXPECT_EQ(continued(config, text_of(5), 25, {}, 3), continued(config, text_of(5), 25, {}, 3));
  EXPECT_NE(continued(config, text_of(5), 25, {}, 3), continued(config, text_of(5), 25, {}, 4));
}

TEST_F(Generate, StopsWhenToldTo) {
  Model model(with_context(32));
  TextCache cache(model.gpt(), *model.ops, 32);
  int calls = 0;
  generate(cache, text_of(4), 20, {}, {}, Rng(1, 0), [&](int32_t) { return ++calls < 3; });
  EXPECT_EQ(calls, 3);
}

TEST_F(Generate, LearnsNothing) {
  Model model(with_context(32));
  model.step(0);
  const Tensor vectors = model.gpt().state().rows().at(0).value;
  const std::vector<float> before(vectors.as<float>(), vectors.as<float>() + vectors.count());
  TextCache cache(model.gpt(), *model.ops, 32);
  generate(cache, text_of(4), 5, {}, {}, Rng(1, 0), [](int32_t) { return true; });
  EXPECT_EQ(before, std::vector<float>(vectors.as<float>(), vectors.as<float>() + vectors.count()));
}

// Each token equals that of a full pass over the last tokens that fit, even if the text is longer than the context.
TEST_F(Generate, TakesTheTokensOfFullPasses) {
  Model model(with_context(20));
  TextCache cache(model.gpt(), *model.ops, 20);
  std::vector<int32_t> text = text_of(6);
  std::vector<int64_t> runs;
  generate(cache, text, 30, {.temperature = 0}, {}, Rng(1, 0), [&](int32_t id) {
    runs.push_back(cache.latest_run());
    const int64_t T = std::min<int64_t>(20, std::ssize(text));
    ForwardWindow window(model.gpt(), *model.ops, *model.communicator, 1, T);
    model.ops->memory().upload(window.activations().tokens_BT, &*(text.end() - T));
    window.forward();
    EXPECT_EQ(id, sample_token(window.logits(T - 1), {.temperature = 0}, 0)) << text.size();
    text.push_back(id);
    return true;
  });
  EXPECT_EQ(runs[0], 6) << "the prompt runs once";
  for (size_t made = 1; made <= 14; ++made) EXPECT_EQ(runs[made], 1) << made;
  EXPECT_EQ(runs[15], 20) << "the window moves, so all positions change";
}

TEST_F(Generate, NeverMakesWhatItMayNot) {
  const Config config = with_context(32);
  const std::vector<int32_t> free = continued(config, text_of(5), 25);
  Model model(config);
  TextCache cache(model.gpt(), *model.ops, 32);
  for (const double temperature : {0.0, 1.0}) {
    const std::vector<int32_t> never(free.begin(), free.begin() + 5);
    generate(cache, text_of(5), 25, {.temperature = temperature}, never, Rng(1, 0), [&](int32_t id) {
      EXPECT_EQ(std::count(never.begin(), never.end(), id), 0) << id;
      return true;
    });
  }
}

// The next token's logits, from a window of T tokens that begins with `text`.
std::vector<float> next_logits(const Config& config, const std::vector<int32_t>& text, int64_t T, int32_t filler) {
  const auto ops = make_cpu_ops();
  const auto communicator = make_single_communicator();
  Engine engine(config, Purpose::forward, 1, T, *ops);
  engine.commit(*ops);
  engine.gpt().initialize(ops->memory(), 1);
  const Activations& a = engine.activations();
  std::fill_n(a.tokens_BT.as<int32_t>(), T, filler);
  std::copy(text.begin(), text.end(), a.tokens_BT.as<int32_t>());
  std::vector<float> logits(static_cast<size_t>(config.model.vocab_size));
  const Pass pass{*ops, engine.scratch(), *communicator, PassKind::evaluate};
  engine.gpt().forward(pass, a);
  engine.gpt().logits(pass, a, {logits.data(), DType::f32, {1, config.model.vocab_size}}, std::ssize(text) - 1, 1);
  return logits;
}

TEST_F(Generate, FillerInTheWindowDoesNotAffectTheText) {
  const Config config = with_context(64);
  const auto expected = next_logits(config, text_of(10), 10, 0);
  for (const auto& [T, filler] : {std::pair<int64_t, int32_t>{16, 0}, {16, 28}, {32, 0}, {64, 7}}) {
    const auto logits = next_logits(config, text_of(10), T, filler);
    for (size_t i = 0; i < logits.size(); ++i) EXPECT_NEAR(logits[i], expected[i], 1e-4) << T << " " << i;
  }
}

}  // namespace
}  // namespace gptmoe::testing
