#pragma once
// A model's tensors, and a folder of its checkpoints.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "base/json.h"
#include "base/rng.h"
#include "checkpoint/checkpoint.h"
#include "memory/arena.h"
#include "support/temporary_folder.h"

namespace gptmoe::testing {

// A model of odd sizes, with single rows and rows in blocks, parameters with 1 to 3 dimensions, and state of several
// dtypes.
class CheckpointModel {
 public:
  explicit CheckpointModel(uint64_t seed, DType dtype = DType::f32, int64_t width = 5, int layers = 2)
      : params_(dtype) {
    params_.add({"embed", {7, width}, Init::normal(1), true});
    for (int i = 0; i < layers; ++i) {
      const std::string layer = "layers." + std::to_string(i);
      params_.add_block({3, width}, {{layer + ".q", {1, width}, Init::normal(1), true},
                                     {layer + ".k", {2, width}, Init::normal(1), true}});
      params_.add({layer + ".bias", {width}, Init::zeros(), false});
      params_.add({layer + ".experts", {2, 3, width}, Init::normal(1), true});
      vectors_ = state_.add(layer + ".default_vectors", dtype, {3, width});
      scratch_ = state_.add(layer + ".sums", dtype, {3, width}, false);
    }
    state_.add("counts", DType::i64, {3});
    for (int phase = 0; phase < 2; ++phase) {
      values_ = arena_.allocate(dtype, {params_.element_count()});
      m_ = arena_.allocate(dtype, {params_.element_count()});
      v_ = arena_.allocate(dtype, {params_.element_count()});
      state_.allocate(arena_);
      if (phase == 0) arena_.commit();
    }
    params_.bind(values_, {});
    fill(seed);
  }

  // Fills the arena with random bytes, which include NaNs and denormals.
  void fill(uint64_t seed) {
    const Rng rng(seed, 0);
    for (int64_t i = 0; i < arena_.used(); ++i)
      arena_.data()[i] = static_cast<char>(rng.bits(static_cast<uint64_t>(i)));
  }

  // The bytes that a checkpoint must restore.
  std::string model_bytes() const {
    std::string out;
    for (const ParamRow& row : params_.rows()) out += bytes_of(params_.row_value(row));
    for (const StateRow& row : state_.rows())
      if (row.persistent) out += bytes_of(row.value);
    return out;
  }
  std::string optimizer_bytes() const {
    std::string out;
    for (const Tensor& moment : {m_, v_})
      for (const ParamRow& row : params_.rows()) out += bytes_of(params_.row_view(moment, row));
    return out;
  }
  std::string all_bytes() const { return {arena_.data(), static_cast<size_t>(arena_.used())}; }
  static std::string bytes_of(const Tensor& x) {
    return {static_cast<const char*>(x.data()), static_cast<size_t>(x.bytes())};
  }

  CheckpointTensors tensors() const { return {params_, state_, m_, v_}; }
  CheckpointTensors model_only() const { return {params_, state_, {}, {}}; }
  const ParamTable& params() const { return params_; }
  const StateTable& state() const { return state_; }
  Tensor scratch() const { return state_.value(scratch_); }

 private:
  Arena arena_{"test"};
  ParamTable params_;
  StateTable state_;
  Tensor values_, m_, v_;
  StateId vectors_, scratch_;
};

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

inline CheckpointState state_at(int64_t step) {
  return {step,
          1234567890123456789,
          0.1,
          {.epoch = 0, .position = 3, .windows = 9},
          nlohmann::json{{"lr", 1e-3}, {"name", "Ünï \"q\""}, {"none", nullptr}}};
}

class Checkpoint : public ::testing::Test {
 protected:
  std::filesystem::path run() const { return folder_ / "run"; }
  std::filesystem::path folder() const { return run() / "checkpoints"; }
  std::filesystem::path at(int64_t step) const {
    std::string digits = std::to_string(step);
    return folder() / ("step_" + std::string(8 - digits.size(), '0') + digits);
  }
  void save(int64_t step, int64_t keep = 0) { save(step, CheckpointModel(static_cast<uint64_t>(step)), keep); }
  void save(int64_t step, const CheckpointModel& model, int64_t keep = 0) {
    save_checkpoint(run(), step, model.tensors(), state_at(step), keep);
  }
  // Expects the checkpoint to hold exactly what CheckpointModel(seed) saved at `step`.
  void expect_holds(const std::filesystem::path& checkpoint, int64_t step, uint64_t seed) {
    CheckpointModel loaded(999);
    EXPECT_EQ(load_checkpoint(checkpoint, loaded.tensors()), state_at(step));
    EXPECT_TRUE(loaded.model_bytes() == CheckpointModel(seed).model_bytes());
    EXPECT_TRUE(loaded.optimizer_bytes() == CheckpointModel(seed).optimizer_bytes());
  }
  void expect_latest(int64_t step) {
    const auto latest = latest_checkpoint(run());
    ASSERT_TRUE(latest);
    EXPECT_EQ(*latest, at(step));
    expect_holds(*latest, step, static_cast<uint64_t>(step));
  }
  std::set<std::string> names() const {
    std::set<std::string> out;
    for (const auto& entry : std::filesystem::directory_iterator(folder())) out.insert(entry.path().filename());
    return out;
  }
  static void write(const std::filesystem::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  }

  static void put(const std::filesystem::path& path, size_t position, char byte) {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(position)).put(byte);
  }

  TemporaryFolder folder_;
};

// The files that loading reads. The fourth file, config.json, is for transformers only.
inline const std::set<std::string> kReadFiles = {"state.json", "model.safetensors", "optimizer.safetensors"};

}  // namespace gptmoe::testing
