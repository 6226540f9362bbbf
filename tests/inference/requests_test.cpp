#include "inference/requests.h"

#include <gtest/gtest.h>

#include "inference/task_fixture.h"
#include "support/error_line.h"

namespace gptmoe::testing {
namespace {

Request make_request(const Tokenizer& tokenizer, const std::string& prompt, const std::string& continuation) {
  return RequestEncoder(tokenizer).encode(prompt, continuation, "f.jsonl:3");
}
std::vector<int32_t> before(const Request& request) {
  return {request.tokens.begin(), request.tokens.begin() + request.first};
}
std::vector<int32_t> scored(const Request& request) {
  return {request.tokens.begin() + request.first, request.tokens.end()};
}

// White space between prompt and continuation belongs to the continuation, because the tokenizer has a token " the".
TEST(Requests, SpaceBeforeTheContinuationBelongsToTheContinuation) {
  const Tokenizer tokenizer = golden_tokenizer();
  ASSERT_EQ(tokenizer.encode(" the").size(), 1u);
  const Request request = make_request(tokenizer, "In ", "the");
  EXPECT_EQ(request.tokens, tokenizer.encode("In the"));
  EXPECT_EQ(before(request), tokenizer.encode("In"));
  EXPECT_EQ(scored(request), tokenizer.encode(" the"));
  const Request question = make_request(tokenizer, "Who?\nAnswer: ", "the Lord");
  EXPECT_EQ(before(question), tokenizer.encode("Who?\nAnswer:"));
  EXPECT_EQ(question.tokens, tokenizer.encode("Who?\nAnswer: the Lord"));
  EXPECT_EQ(scored(make_request(tokenizer, "In\n ", "the")), tokenizer.encode("\n the"));
}

TEST(Requests, AContinuationHasATokenOfItsOwn) {
  const Tokenizer tokenizer = golden_tokenizer();
  ASSERT_LE(tokenizer.encode("the").size(), tokenizer.encode("th").size()) << "else this tests nothing";
  const Request request = make_request(tokenizer, "th", "e");
  EXPECT_EQ(before(request), tokenizer.encode("th"));
  EXPECT_EQ(scored(request), tokenizer.encode("e"));
}

TEST(Requests, AnEmptyPromptIsReplacedByEndOfText) {
  for (const char* prompt : {"", " ", "\n\t "}) {
    const Request request = make_request(byte_tokenizer(), prompt, "ab");
    EXPECT_EQ(before(request), std::vector<int32_t>{256});
    EXPECT_EQ(byte_tokenizer().decode(scored(request)), prompt + std::string("ab"));
  }
  EXPECT_EQ(error_of([] { make_request(byte_tokenizer(false), "", "ab"); }),
            "f.jsonl:3: the context is empty, and the tokenizer has no end-of-text token to start from");
}

TEST(Requests, AllCandidatesOfTheFirstExamples) {
  const auto requests = make_requests(three_questions(), SIZE_MAX, {}, byte_tokenizer());
  ASSERT_EQ(requests.size(), 7u);
  EXPECT_EQ(byte_tokenizer().decode(requests[6].tokens), "Q3 g");
  EXPECT_EQ(byte_tokenizer().decode(scored(requests[6])), " g");
  EXPECT_EQ(make_requests(three_questions(), 2, {}, byte_tokenizer()).size(), 4u);
}

}  // namespace
}  // namespace gptmoe::testing
