// A run's tokenizer that was damaged or replaced since the run began is reported and not used.
#include <omp.h>

#include "base/seal.h"
#include "support/run_fixture.h"
#include "support/test_folders.h"
#include "train/run_inputs.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class TokenizerSeals : public ::testing::Test {
 protected:
  void SetUp() override {
    omp_set_num_threads(1);
    fs::copy(source_folder() + "/tests/tokenizer/golden/tokenizer.json", source_);
    train_quietly(config_, run_);
  }
  // It is still a tokenizer.
  static void damage(const fs::path& file) { append_text(file, "\n"); }
  fs::path found() const { return find_tokenizer(run_ / "checkpoints/step_00000012", config_); }

  RunFolder folder_;
  const fs::path source_ = folder_ / "words.json", run_ = folder_ / "run", copy_ = run_ / "tokenizer.json";
  const Config config_ = folder_.config({{"data", {{"tokenizer", source_}}}});
  const std::string why_ = ": not the tokenizer with which the run began, according to the checksum in " +
                           (run_ / "history.json").string() + "; restore it";
};

TEST_F(TokenizerSeals, ADamagedCopyIsRefusedWhereItIsRead) {
  EXPECT_EQ(found(), copy_);
  damage(copy_);
  EXPECT_EQ(error_line<UserError>([&] { found(); }), copy_.string() + why_ + ", or pass --tokenizer FILE");
  const std::string resume = error_line<UserError>([&] { train_quietly(config_, run_, true); });
  EXPECT_EQ(resume, copy_.string() + why_) << "the source is unchanged";
  const Config longer = folder_.config({{"train", {{"steps", 20}}}, {"data", {{"tokenizer", source_}}}});
  EXPECT_EQ(error_line<UserError>([&] { start_branch(run_, folder_ / "branch", longer); }), copy_.string() + why_);
  damage(source_);  // both alike now
  EXPECT_EQ(error_line<UserError>([&] { train_quietly(config_, run_, true); }), copy_.string() + why_);
}

TEST_F(TokenizerSeals, AReplacedSourceIsRefusedWithoutACopy) {
  fs::remove(copy_);
  EXPECT_EQ(found(), source_);
  damage(source_);
  EXPECT_EQ(error_line<UserError>([&] { found(); }), source_.string() + why_ + ", or pass --tokenizer FILE");
  EXPECT_EQ(error_line<UserError>([&] { train_quietly(config_, run_, true); }),
            source_.string() + why_ + ", or correct data.tokenizer");
  EXPECT_FALSE(fs::exists(copy_));
}

TEST_F(TokenizerSeals, ARunWithoutARecordIsReadAndGetsOne) {
  json older = json::parse(read_text_file(run_ / "history.json"));
  EXPECT_EQ(older["history"][0].erase("tokenizer"), 1u);
  older.erase("checksum");
  write_text_file(run_ / "history.json", sealed(older.dump(2)));
  damage(copy_);
  EXPECT_EQ(found(), copy_);
  damage(source_);
  EXPECT_EQ(train_quietly(config_, run_, true), 0);
  EXPECT_EQ(found(), copy_);
  damage(copy_);
  EXPECT_THROW(found(), UserError);
}

}  // namespace
}  // namespace gptmoe::testing
