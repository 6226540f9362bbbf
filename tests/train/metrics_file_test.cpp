// metrics.jsonl across resumes, and what its rows hold.
#include <fcntl.h>
#include <omp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "support/run_fixture.h"
#include "train/metrics.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class Metrics : public ::testing::Test {
 protected:
  void SetUp() override { omp_set_num_threads(1); }
  static ino_t inode_of(const fs::path& path) {
    struct stat status {};
    EXPECT_EQ(stat(path.c_str(), &status), 0);
    return status.st_ino;
  }
  static std::string rest_of(int fd) {
    char bytes[1 << 16];
    const ssize_t n = read(fd, bytes, sizeof bytes);
    return {bytes, static_cast<size_t>(std::max<ssize_t>(0, n))};
  }
  // Trains the whole run and a copy of it that crashed after step 8.
  void crash() {
    train_quietly(config_, folder_ / "whole");
    copy_folder(folder_ / "whole", run_);
    cut_back(run_, 8);
  }
  // Expects that a resume is refused and leaves the run's metrics as they are. Returns the message.
  template <typename Error = UserError>
  std::string refused() {
    const std::string before = read_text_file(file_);
    const std::string line = error_line<Error>([&] { train_quietly(config_, run_, true); });
    EXPECT_EQ(read_text_file(file_), before);
    return line;
  }

  RunFolder folder_;
  Config config_ = folder_.config({{"router", {{"type", "default"}}}});
  const fs::path run_ = folder_ / "run", file_ = run_ / "metrics.jsonl";
};

TEST_F(Metrics, AResumeCutsTheFileThatAReaderHasOpen) {
  crash();
  append_text(file_, R"({"event":"train","step":13,"tok)");
  const ino_t inode = inode_of(file_);
  const int reader = open(file_.c_str(), O_RDONLY);
  while (!rest_of(reader).empty()) {
  }
  ASSERT_EQ(train_quietly(config_, run_, true), 0);
  EXPECT_EQ(inode_of(file_), inode);
  expect_same_run(folder_ / "whole", run_);
  append_text(file_, "new row\n");
  lseek(reader, -8, SEEK_END);
  EXPECT_EQ(rest_of(reader), "new row\n");
  close(reader);
}

TEST_F(Metrics, ARestartCutsInPlaceToo) {
  crash();
  fs::remove_all(run_ / "checkpoints");
  const ino_t inode = inode_of(file_);
  EXPECT_EQ(resume_with(config_, run_, {}, true), 0);
  EXPECT_EQ(inode_of(file_), inode);
  expect_same_run(folder_ / "whole", run_);
}

TEST_F(Metrics, RowsOutOfOrderAreNotCut) {
  crash();
  std::string rows = read_text_file(file_);
  const size_t first = rows.find('\n') + 1;
  append_text(file_, rows.substr(0, first));
  EXPECT_EQ(refused(), text(file_.string(), ":16: step 1 follows step 9; remove the line"));
}

TEST_F(Metrics, WhatCannotBeReadIsNotEmpty) {
  crash();
  fs::rename(file_, folder_ / "elsewhere");
  fs::create_symlink(folder_ / "gone", file_);
  EXPECT_EQ(error_line<UserError>([&] { train_quietly(config_, run_, true); }),
            text(file_.string(), ": cannot access it: it is a link to ", (folder_ / "gone").string(),
                 ", which does not exist"));
  EXPECT_FALSE(fs::exists(folder_ / "gone"));
  EXPECT_THROW(last_logged_step(run_), UserError);
  EXPECT_THROW(has_diverged(run_), UserError);
  fs::remove(file_);
  fs::create_directory(file_);
  EXPECT_EQ(error_line<UserError>([&] { train_quietly(config_, run_, true); }),
            text(file_.string(), ": not a regular file"));
}

TEST_F(Metrics, ARestartIsRefusedWhereTheSystemCannotLookForCheckpoints) {
  crash();
  const std::string before = read_text_file(file_);
  const fs::path checkpoints = run_ / "checkpoints";
  fs::rename(checkpoints, folder_ / "moved");
  for (const char* target : {"checkpoints", "nowhere"}) {  // a loop, and a link to nothing
    fs::create_symlink(target, checkpoints);
    expect_contains(error_line<UserError>([&] { resume_with(config_, run_, {}, true); }),
                    checkpoints.string() + ": cannot access it: ");
    fs::remove(checkpoints);
  }
  EXPECT_EQ(read_text_file(file_), before);
}

TEST_F(Metrics, ARowThatNobodyCanReadIsNotWipedByAFreshStart) {
  crash();
  fs::remove_all(run_ / "checkpoints");
  write_text_file(file_, "no JSON\n");
  expect_contains(refused(), "metrics.jsonl:1:");
}

// The values of the f32 tensor `name` in a safetensors file.
std::vector<float> tensor_in(const fs::path& path, const std::string& name) {
  const std::string file = read_text_file(path);
  uint64_t header = 0;
  std::memcpy(&header, file.data(), 8);
  const json entry = json::parse(file.substr(8, header)).at(name);
  EXPECT_EQ(entry["dtype"], "F32");
  const size_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
  std::vector<float> values((end - begin) / 4);
  std::memcpy(values.data(), file.data() + 8 + header + begin, end - begin);
  return values;
}

TEST_F(Metrics, TrainRowsHoldTimeMemoryLoadsAndNorms) {
  train_quietly(config_, run_);
  std::ifstream in(file_);
  json last;
  double before = 0;
  for (std::string line; std::getline(in, line);) {
    const json row = json::parse(line);
    EXPECT_GE(row.at("time").get<double>(), before);
    before = row["time"];
    if (row["event"] == "train") last = row;
  }
  EXPECT_NEAR(before, static_cast<double>(time(nullptr)), 100);
  EXPECT_GT(last.at("memory_bytes"), 1 << 20);
  const int64_t layers = config_.model.moe_layers(), E = config_.model.num_experts;
  for (const char* end : {"max", "min"}) {
    const std::vector<double> by_layer = last.at("expert_load_" + std::string(end) + "_by_layer");
    ASSERT_EQ(static_cast<int64_t>(by_layer.size()), layers);
    const auto [low, high] = std::minmax_element(by_layer.begin(), by_layer.end());
    EXPECT_EQ(last["expert_load_" + std::string(end)], std::string(end) == "max" ? *high : *low);
  }
  double sum = 0, max = 0;
  for (int64_t layer = 0; layer < config_.model.num_hidden_layers; ++layer) {
    if (!config_.model.layer_is_moe(layer)) continue;
    const std::vector<float> vectors =
        tensor_in(*latest_checkpoint(run_) / "model.safetensors", text("model.layers.", layer, ".mlp.default_vectors"));
    const size_t C = vectors.size() / static_cast<size_t>(E);
    for (size_t e = 0; e < static_cast<size_t>(E); ++e) {
      double squares = 0;
      for (size_t c = 0; c < C; ++c) squares += double{vectors[e * C + c]} * double{vectors[e * C + c]};
      sum += std::sqrt(squares);
      max = std::max(max, std::sqrt(squares));
    }
  }
  EXPECT_NEAR(last.at("default_norm_mean"), sum / static_cast<double>(layers * E), 1e-12);
  EXPECT_NEAR(last.at("default_norm_max"), max, 1e-12);
}

TEST_F(Metrics, RoutersWithoutDefaultVectorsHaveNoNorms) {
  train_quietly(folder_.config({{"train", {{"steps", 4}}}}), run_);
  EXPECT_FALSE(metrics_of(run_)[0].contains("default_norm_mean"));
  EXPECT_TRUE(metrics_of(run_)[0].contains("expert_load_max_by_layer"));
}

}  // namespace
}  // namespace gptmoe::testing
