// Prompts continued by a model with a tokenizer: where texts end, and which tokens they may have.
#include <gtest/gtest.h>
#include <omp.h>

#include "inference/generate.h"
#include "support/error_message.h"
#include "support/model_fixture.h"
#include "tokenizer/utf8.h"

namespace gptmoe::testing {
namespace {

constexpr int32_t kEnd = 256, kGap = 257, kTokens = 259;  // bytes, the end of text, an id without a token, "the"
constexpr int64_t kPadded = 300;

Tokenizer byte_tokenizer(bool has_end = true) {
  Vocabulary vocabulary;
  for (int byte = 0; byte < 256; ++byte) vocabulary.tokens.emplace_back(1, static_cast<char>(byte));
  for (const char* token : {"<|endoftext|>", "", "the"}) vocabulary.tokens.emplace_back(token);
  vocabulary.added = {{.id = kEnd, .special = true}};
  if (has_end) vocabulary.end_of_text = kEnd;
  return Tokenizer(std::move(vocabulary));
}

class ContinuePrompt : public ::testing::Test {
 protected:
  ContinuePrompt() {
    omp_set_num_threads(1);
    // A final norm without scale: all logits are equal until a test favours tokens.
    favour({});
  }
  // The model's logits become 50 for these tokens and 0 for all others: the rows of the head point along the only
  // channel that the final norm lets through, and the bias of the norm makes that channel positive.
  void favour(const std::vector<int32_t>& ids) {
    for (const ParamRow& row : model_.gpt().params().rows()) {
      const Tensor value = model_.gpt().params().row_value(row);
      float* x = value.as<float>();
      if (row.name == "model.norm.weight") std::fill_n(x, value.count(), 0.0f);
      if (row.name == "model.norm.bias") x[0] = 1;
      if (row.name != "lm_head.weight") continue;
      std::fill_n(x, value.count(), 0.0f);
      for (const int32_t id : ids) x[id * value.size(1)] = 50;
    }
  }
  Continuation continued(const ContinueOptions& options, const std::string& prompt = "It", uint64_t seed = 1) {
    TextCache cache(model_.gpt(), *model_.ops, 16);
    shown_.clear();
    return continue_prompt(cache, tokenizer_, prompt_tokens(tokenizer_, prompt, "here"), options, seed,
                           [&](const std::string& part) {
                             EXPECT_FALSE(part.empty());
                             shown_.push_back(part);
                           });
  }

  Tokenizer tokenizer_ = byte_tokenizer();
  Model model_{
      tiny_config({{"model", {{"vocab_size", kPadded}, {"max_position_embeddings", 16}, {"norm_type", "layernorm"}}}})};
  std::vector<std::string> shown_;
};

TEST_F(ContinuePrompt, EndsAtTheMostTokens) {
  favour({'a'});
  const Continuation made = continued({.tokens = 5});
  EXPECT_EQ(made.text, "aaaaa");
  EXPECT_EQ(made.tokens, std::vector<int32_t>(5, 'a'));
  EXPECT_EQ(made.prompt_tokens, 2);
  EXPECT_STREQ(finish_name(made.finish), "length");
  EXPECT_EQ(shown_, std::vector<std::string>(5, "a"));
}

TEST_F(ContinuePrompt, EndsAtTheEndOfText) {
  favour({kEnd});
  const Continuation made = continued({.tokens = 5});
  EXPECT_EQ(made.text, "");
  EXPECT_TRUE(made.tokens.empty());
  EXPECT_STREQ(finish_name(made.finish), "eos");
}

TEST_F(ContinuePrompt, EndsBeforeAStopStringThatSpansTokens) {
  favour({'a'});
  const Continuation made = continued({.tokens = 9, .stops = {"b", "aaa"}});
  EXPECT_EQ(made.text, "");
  EXPECT_EQ(made.tokens.size(), 3u) << "the tokens of the stop string were generated";
  EXPECT_STREQ(finish_name(made.finish), "stop");
  EXPECT_TRUE(shown_.empty());
}

TEST_F(ContinuePrompt, IsWholeCharactersWhereverItEnds) {
  favour({0xE2});
  const Continuation made = continued({.tokens = 2});
  EXPECT_EQ(made.text, "\uFFFD\uFFFD");
  EXPECT_EQ(shown_, (std::vector<std::string>{"\uFFFD", "\uFFFD"}));
}

// The likeliest ids have no token: beyond the tokenizer, and in a gap of it.
TEST_F(ContinuePrompt, NeverMakesIdsWithoutAToken) {
  std::vector<int32_t> without = {kGap};
  for (int32_t id = kTokens; id < kPadded; ++id) without.push_back(id);
  favour(without);
  for (const double temperature : {0.0, 1.0, 100.0}) {
    ContinueOptions options{.tokens = 60};
    options.sampling.temperature = temperature;
    const Continuation made = continued(options);
    for (const int32_t id : made.tokens) EXPECT_TRUE(tokenizer_.knows(id)) << id;
    EXPECT_TRUE(made.finish == Finish::end_of_text || made.tokens.size() == 60);
    EXPECT_FALSE(made.tokens.empty());
  }
}

TEST_F(ContinuePrompt, DrawsBySeed) {
  const ContinueOptions options{.tokens = 8};
  EXPECT_EQ(continued(options, "It", 3).tokens, continued(options, "It", 3).tokens);
  EXPECT_NE(continued(options, "It", 3).tokens, continued(options, "It", 4).tokens);
}

TEST_F(ContinuePrompt, SaysWhenTheModelDoesNotSeeTheBeginning) {
  favour({'a'});
  EXPECT_FALSE(continued({.tokens = 15}).truncated) << "the last token is generated from 16 tokens";
  EXPECT_TRUE(continued({.tokens = 16}).truncated);
  EXPECT_TRUE(continued({.tokens = 1}, std::string(17, 'x')).truncated);
}

TEST_F(ContinuePrompt, StartsAnEmptyPromptAtTheEndOfText) {
  EXPECT_EQ(prompt_tokens(tokenizer_, "", "here"), std::vector<int32_t>{kEnd});
  EXPECT_EQ(message<UserError>([] { prompt_tokens(byte_tokenizer(false), "", "p.jsonl:3"); }),
            "p.jsonl:3: empty, and the tokenizer has no end-of-text token to start from; give a text");
}

TEST_F(ContinuePrompt, NamesThePlaceOfAByteThatHasNoToken) {
  Vocabulary vocabulary = byte_tokenizer().vocabulary();
  vocabulary.tokens[0xFF].clear();
  const Tokenizer tokenizer(std::move(vocabulary));
  EXPECT_EQ(prompt_tokens(tokenizer, "a", "p.txt:3"), std::vector<int32_t>{'a'});
  EXPECT_EQ(
      message<UserError>([&] { prompt_tokens(tokenizer, "a\xFF", "p.txt:3"); }),
      "p.txt:3: byte 1: FF is never part of UTF-8, and this tokenizer has no token for it; convert the text to UTF-8");
}

}  // namespace
}  // namespace gptmoe::testing
