#include "base/nearest_word.h"

#include <gtest/gtest.h>

namespace gptmoe {
namespace {

TEST(NearestWord, AllowsFewEdits) {
  const std::vector<std::string> words{"learning_rate", "beta1", "beta2", "eps"};
  EXPECT_EQ(nearest_word("learning_rte", words), "learning_rate");
  EXPECT_EQ(nearest_word("laerning_rate", words), "learning_rate");
  EXPECT_EQ(nearest_word("Learning_Rate", words), "learning_rate");
  EXPECT_EQ(nearest_word("learningrate", words), "learning_rate");
  EXPECT_EQ(nearest_word("beta", words), "beta1");  // a tie goes to the first word
  EXPECT_EQ(nearest_word("beta_2", words), "beta2");
  EXPECT_EQ(nearest_word("momentum", words), "");
  EXPECT_EQ(nearest_word("", words), "");
  EXPECT_EQ(nearest_word("eps", {}), "");
}

TEST(NearestWord, ASwapCountsOnce) {
  EXPECT_EQ(nearest_word("abcd", {"badc"}), "badc");  // two swaps, but four replacements
  EXPECT_EQ(nearest_word("abcdef", {"badcfe"}), "");  // three swaps are too many
}

TEST(NearestWord, AllowsEditsToAThirdOfALongWord) {
  EXPECT_EQ(nearest_word("abcdefghi", {"xyzdefghi"}), "xyzdefghi");
  EXPECT_EQ(nearest_word("abcdefgh", {"xyzdefgh"}), "");
  EXPECT_EQ(nearest_word("lr", {"id"}), "");  // as many edits as letters
}

TEST(NearestWord, MatchesPartsOfAWordAndLongerWords) {
  const std::vector<std::string> words{"num_attention_heads", "num_key_value_heads", "head_dim", "warmup_steps"};
  EXPECT_EQ(nearest_word("num_heads", words), "num_attention_heads");
  EXPECT_EQ(nearest_word("kv_heads", words), "");
  EXPECT_EQ(nearest_word("warmup", words), "warmup_steps");
  EXPECT_EQ(nearest_word("attention_head_dim", words), "head_dim");
  EXPECT_EQ(nearest_word("heads_num", {"num_attention_heads"}), "");  // the words must be in order
  EXPECT_EQ(nearest_word("norm", {"rmsnorm", "layernorm"}), "rmsnorm");
  EXPECT_EQ(nearest_word("um", {"num_attention_heads"}), "");  // too short for a guess
}

}  // namespace
}  // namespace gptmoe
