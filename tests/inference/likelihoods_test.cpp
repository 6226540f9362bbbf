#include "inference/likelihoods.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <limits>

#include "inference/task_fixture.h"
#include "support/error_message.h"

namespace gptmoe::testing {
namespace {

class Likelihoods : public ::testing::Test {
 protected:
  void SetUp() override { omp_set_num_threads(1); }

  static std::vector<Likelihood> score(Model& model, const std::vector<Request>& requests, int64_t batch_tokens = 64,
                                       bool greedy = true) {
    return score_requests(model.gpt(), *model.ops, requests, {batch_tokens, greedy}, [](int64_t, int64_t) {});
  }
  // `size` random bytes, scored from `first`.
  static Request random_request(int64_t size, int64_t first, uint64_t seed) {
    Request request{{}, first};
    for (int64_t i = 0; i < size; ++i)
      request.tokens.push_back(static_cast<int32_t>(Rng(seed, 0).below(static_cast<uint64_t>(i), 256)));
    return request;
  }
  static std::vector<Request> many_requests() {
    std::vector<Request> requests;
    for (int64_t i = 0; i < 23; ++i) requests.push_back(random_request(5 + i * 2, 3 + i, static_cast<uint64_t>(i)));
    return requests;
  }
  static double bigram_sum(const Request& request) {
    double sum = 0;
    for (size_t i = static_cast<size_t>(request.first); i < request.tokens.size(); ++i)
      sum += BigramModel::log_probability(request.tokens[i - 1], request.tokens[i]);
    return sum;
  }
};

TEST_F(Likelihoods, OfABigramModelMatchItsTable) {
  BigramModel model(64);
  const auto requests = many_requests();
  const auto scores = score(model, requests);
  ASSERT_EQ(scores.size(), requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_NEAR(scores[i].log_likelihood, bigram_sum(requests[i]), 1e-3) << i;
    EXPECT_FALSE(scores[i].truncated);
    EXPECT_FALSE(scores[i].greedy);
  }
}

TEST_F(Likelihoods, GreedyMeansThatEveryTokenIsTheLikeliest) {
  BigramModel model(64);
  Request request{{65}, 1};
  for (int i = 0; i < 4; ++i) request.tokens.push_back(BigramModel::likeliest(request.tokens.back()));
  std::vector<Request> requests = {request};
  for (size_t i = 1; i <= 4; ++i) {
    requests.push_back(request);
    requests.back().tokens[i] = (requests.back().tokens[i] + 1) % 256;
  }
  requests.push_back(requests[1]);
  requests.back().first = 3;  // the wrong token before `first` does not count
  const auto scores = score(model, requests);
  for (size_t i = 0; i < scores.size(); ++i) EXPECT_EQ(scores[i].greedy, i == 0 || i == 5) << i;
  EXPECT_FALSE(score(model, requests, 64, false)[0].greedy) << "the greedy test was not requested";
}

// The log-likelihood of one request from a single forward pass, with a hand-written softmax.
double alone(Model& model, const Request& request) {
  const int64_t T = std::ssize(request.tokens) - 1, V = model.config.model.vocab_size;
  Engine engine(model.config, Purpose::forward, 1, T, *model.ops);
  engine.commit(*model.ops);
  const Tensor &from = model.gpt().params().values(), &to = engine.gpt().params().values();
  std::copy_n(from.as<float>(), from.count(), to.as<float>());
  const auto &states = model.gpt().state().rows(), &copies = engine.gpt().state().rows();
  for (size_t i = 0; i < states.size(); ++i)
    std::memcpy(copies[i].value.data(), states[i].value.data(), static_cast<size_t>(states[i].value.bytes()));
  std::copy_n(request.tokens.begin(), T, engine.activations().tokens_BT.as<int32_t>());
  const Pass pass{*model.ops, engine.scratch(), *model.communicator, PassKind::evaluate};
  engine.gpt().forward(pass, engine.activations());
  double sum = 0;
  for (int64_t t = request.first - 1; t < T; ++t) {
    std::vector<float> logits(static_cast<size_t>(V));
    engine.gpt().logits(pass, engine.activations(), {logits.data(), DType::f32, {1, V}}, t, 1);
    double total = 0;
    for (const float logit : logits) total += std::exp(static_cast<double>(logit));
    const auto target = static_cast<size_t>(request.tokens[static_cast<size_t>(t) + 1]);
    sum += static_cast<double>(logits[target]) - std::log(total);
  }
  return sum;
}

// A model after a little training: attention and experts matter, and the default vectors are not zero.
struct LearnedModel : Model {
  explicit LearnedModel(int64_t context) : Model(byte_config(context)) {
    for (int64_t s = 0; s < 3; ++s) step(s);
  }
};

TEST_F(Likelihoods, EqualThoseOfEachRequestAlone) {
  LearnedModel model(64);
  const auto requests = many_requests();
  const auto scores = score(model, requests);
  for (size_t i = 0; i < requests.size(); ++i)
    EXPECT_NEAR(scores[i].log_likelihood, alone(model, requests[i]), 1e-3) << i;
}

TEST_F(Likelihoods, DoNotDependOnTheMicroBatch) {
  LearnedModel model(64);
  const auto requests = many_requests();
  const auto expected = score(model, requests, 1);  // one by one
  for (const int64_t batch_tokens : {40, 200, 100000}) {
    const auto scores = score(model, requests, batch_tokens);
    for (size_t i = 0; i < requests.size(); ++i)
      EXPECT_NEAR(scores[i].log_likelihood, expected[i].log_likelihood, 1e-4) << batch_tokens << " " << i;
  }
}

TEST_F(Likelihoods, TooLongContextsLoseTheirBeginning) {
  LearnedModel model(20);
  const Request request = random_request(50, 45, 1);
  const auto cut = [&](int64_t kept) {
    return Request{{request.tokens.end() - kept, request.tokens.end()}, request.first - (50 - kept)};
  };
  const auto scores = score(model, {request, cut(21), cut(20)});
  EXPECT_TRUE(scores[0].truncated);
  EXPECT_FALSE(scores[1].truncated) << "20 tokens are input, and the 21st is only predicted";
  EXPECT_NEAR(scores[0].log_likelihood, scores[1].log_likelihood, 1e-4);
  EXPECT_GT(std::abs(scores[0].log_likelihood - scores[2].log_likelihood), 1e-3) << "all of the window is used";
}

TEST_F(Likelihoods, TooLongContinuationsAreScoredInStretches) {
  BigramModel bigram(8);
  for (const int64_t size : {9, 10, 11, 12, 13, 40}) {
    const Request request = random_request(size, 1, 2);
    const Likelihood score = Likelihoods::score(bigram, {request}).front();
    EXPECT_NEAR(score.log_likelihood, bigram_sum(request), 1e-3) << size;
    EXPECT_EQ(score.truncated, size > 9) << size;
  }
  // The window of 8 tokens gives stretches of 4 tokens, each scored with up to 5 tokens of context.
  LearnedModel model(8);
  const Request request = random_request(17, 1, 3);
  double expected = 0;
  for (int64_t at = 1; at < 17; at += 4) {
    const int64_t begin = std::max<int64_t>(0, at + 4 - 9);
    expected += alone(model, {{request.tokens.begin() + begin, request.tokens.begin() + at + 4}, at - begin});
  }
  EXPECT_NEAR(score(model, {request})[0].log_likelihood, expected, 1e-3);
}

// If answers are single letters, a question runs through the model only once.
TEST_F(Likelihoods, RequestsWithTheSameInputsShareAForwardPass) {
  LearnedModel model(24);
  std::vector<Request> requests;
  for (uint64_t question = 0; question < 5; ++question) {
    for (int32_t answer = 65; answer < 68 + static_cast<int32_t>(question % 2); ++answer) {
      requests.push_back(random_request(12 + static_cast<int64_t>(question) * 5, 10, question));
      requests.back().tokens.back() = answer;
    }
  }
  requests.push_back(requests.back());
  requests.back().first -= 1;  // the same tokens, but one more of them is scored
  int64_t tokens = 0;
  const auto scores =
      score_requests(model.gpt(), *model.ops, requests, {64, true}, [&](int64_t, int64_t total) { tokens = total; });
  EXPECT_EQ(tokens, 11 + 16 + 21 + 24 + 24 + 24);
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto single = score(model, {requests[i]}).front();
    EXPECT_NEAR(scores[i].log_likelihood, single.log_likelihood, 1e-4) << i;
    EXPECT_EQ(scores[i].truncated, single.truncated) << i;
    EXPECT_EQ(scores[i].greedy, single.greedy) << i;
  }
}

TEST_F(Likelihoods, LeaveTheModelUnchanged) {
  LearnedModel model(32);
  const auto state = [&] {
    std::vector<std::vector<char>> bytes = {model.parameter_bytes()};
    for (const StateRow& row : model.gpt().state().rows()) {
      const char* data = static_cast<const char*>(row.value.data());
      bytes.emplace_back(data, data + row.value.bytes());
    }
    return bytes;
  };
  const auto before = state();
  ASSERT_GT(before.size(), 1u);
  score(model, many_requests());
  EXPECT_EQ(state(), before);
}

TEST_F(Likelihoods, ProgressEndsWithAllTokens) {
  BigramModel model(16);
  std::vector<std::pair<int64_t, int64_t>> seen;
  score_requests(model.gpt(), *model.ops, many_requests(), {32, false},
                 [&](int64_t done, int64_t total) { seen.emplace_back(done, total); });
  ASSERT_GT(seen.size(), 3u);
  for (size_t i = 1; i < seen.size(); ++i) EXPECT_GT(seen[i].first, seen[i - 1].first);
  EXPECT_EQ(seen.back().first, seen.back().second);
}

TEST_F(Likelihoods, ADivergedModelIsAFailure) {
  BigramModel model(16);
  set_rows(model.gpt(), "lm_head.weight", [](int64_t) { return std::numeric_limits<double>::quiet_NaN(); });
  EXPECT_NE(message<Failure>([&] { score(model, many_requests()); }).find("not finite"), std::string::npos);
}

}  // namespace
}  // namespace gptmoe::testing
