#include "base/kept_texts.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/file.h"
#include "base/seal.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

namespace gptmoe {
namespace {

KeptFile verdicts(const std::filesystem::path& path) {
  return {path, "verdicts", "our verdicts", "is judging", std::chrono::milliseconds(10)};
}

TEST(KeptTexts, AreFoundByLaterObjects) {
  const TemporaryFolder folder;
  const KeptFile file = verdicts(folder / "a" / "b.json");
  {
    KeptTexts texts(file);
    EXPECT_EQ(texts.find("key"), std::nullopt);
    texts.keep("key", "first");
    texts.keep("other", "line\n\"quoted\"");
    texts.keep("key", "second");
  }
  KeptTexts texts(file);
  EXPECT_EQ(texts.find("key"), "second");
  EXPECT_EQ(texts.find("other"), "line\n\"quoted\"");
  EXPECT_EQ(texts.damage(), "");
}

TEST(KeptTexts, OfADamagedFileCountAsNoneUntilTheNextIsKept) {
  const TemporaryFolder folder;
  const KeptFile file = verdicts(folder / "b.json");
  KeptTexts(file).keep("key", "text");
  std::string content = read_text_file(file.path);
  content[content.find("text")] = 'n';
  for (const std::string& bad :
       {content, std::string("x"), sealed(R"({"choices":{}})"), sealed(R"({"verdicts":{"key":1}})")}) {
    write_text_file(file.path, bad);
    EXPECT_TRUE(KeptTexts(file).damage().starts_with(file.path.string())) << bad;
    EXPECT_EQ(KeptTexts(file).find("key"), std::nullopt) << bad;
    KeptTexts(file).keep("key", "again");
    EXPECT_EQ(KeptTexts(file).find("key"), "again") << bad;
    EXPECT_EQ(KeptTexts(file).damage(), "") << bad;
  }
}

TEST(KeptTexts, BelongToOneProcessAtATime) {
  const TemporaryFolder folder;
  const KeptFile file = verdicts(folder / "b.json");
  const KeptTexts held(file);
  const std::string line = message<UserError>([&] { KeptTexts another(file); });
  EXPECT_NE(line.find("is judging"), std::string::npos) << line;
}

// Sets an environment variable until it is destroyed.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    value ? setenv(name, value, 1) : unsetenv(name);
  }
  ~Variable() { before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

TEST(KeptTexts, LieInTheUsersCache) {
  const Variable home("HOME", "/h");
  {
    const Variable cache("XDG_CACHE_HOME", "/c");
    EXPECT_EQ(user_cache_file("a.json"), "/c/gptmoe/a.json");
  }
  for (const char* unusable : {static_cast<const char*>(nullptr), "", "relative"}) {
    const Variable cache("XDG_CACHE_HOME", unusable);
    EXPECT_EQ(user_cache_file("a.json"), "/h/.cache/gptmoe/a.json");
    const Variable no_home("HOME", nullptr);
    EXPECT_EQ(user_cache_file("a.json"), "");
  }
}

}  // namespace
}  // namespace gptmoe
