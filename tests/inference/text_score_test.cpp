#include "inference/text_score.h"

#include <gtest/gtest.h>

#include "inference/task_fixture.h"
#include "support/error_line.h"
#include "support/temporary_folder.h"
#include "support/write_shard.h"

namespace gptmoe::testing {
namespace {

class TextBytes : public ::testing::Test {
 protected:
  TokenLoader loader(const std::vector<int32_t>& ids, int64_t T) {
    write_shard(folder_ / "a.bin", 401, ids);
    return TokenLoader({folder_ / "a.bin", T, 401});
  }
  TemporaryFolder folder_;
};

TEST_F(TextBytes, AreTheDecodedTargets) {
  const Tokenizer tokenizer = golden_tokenizer();
  const std::vector<int32_t> ids = tokenizer.encode("In the beginning God created the heaven and the earth.");
  ASSERT_GE(ids.size(), 13u);
  const TokenLoader text = loader(ids, 4);
  // Targets begin with the second token; two windows have eight.
  const std::string two = tokenizer.decode(std::span(ids).subspan(1, 8));
  EXPECT_EQ(text_bytes(text, 2, 4, tokenizer), std::ssize(two));
  EXPECT_EQ(text_bytes(text, 3, 4, tokenizer), std::ssize(tokenizer.decode(std::span(ids).subspan(1, 12))));
}

TEST_F(TextBytes, SpecialTokensAreNoText) {
  EXPECT_EQ(text_bytes(loader({65, 66, 256, 67, 256}, 4), 1, 4, byte_tokenizer()), 2);
}

TEST_F(TextBytes, ATokenizerWithoutTheTokenIsRefused) {
  EXPECT_EQ(error_of([&] {
              text_bytes(loader({65, 66, 300}, 2), 1, 2, byte_tokenizer());
            }),
            "token 300 of the text is not one of the tokenizer's 257; pass the tokenizer that made the shards with "
            "--tokenizer");
}

}  // namespace
}  // namespace gptmoe::testing
