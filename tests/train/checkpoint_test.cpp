#include "train/checkpoint.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <set>
#include <string>

#include "base/arena.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/error_message.h"
#include "base/file.h"
#include "base/file_size_limit.h"
#include "base/rng.h"
#include "base/temporary_folder.h"
#include "runtime/safetensors.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// A model of odd sizes: rows alone and in a block, parameters of rank 1 to 3, state of several dtypes.
class Model {
 public:
  explicit Model(uint64_t seed, DType dtype = DType::f32, int64_t width = 5, int layers = 2) : params_(dtype) {
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

  // Every byte of the arena at random: NaNs, denormals and all.
  void fill(uint64_t seed) {
    const Rng rng(seed, 0);
    for (int64_t i = 0; i < arena_.used(); ++i)
      arena_.data()[i] = static_cast<char>(rng.bits(static_cast<uint64_t>(i)));
  }

  // What a checkpoint must bring back, byte for byte.
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

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

json state_at(int64_t step) {
  return {{"step", step},
          {"tokens", 1234567890123456789},
          {"seconds", 0.1},
          {"loader", {{"epoch", 0}, {"position", 3}}},
          {"config", {{"lr", 1e-3}, {"name", "Ünï \"q\""}, {"none", nullptr}}}};
}

class Checkpoint : public testing::Test {
 protected:
  fs::path run() const { return folder_ / "run"; }
  fs::path folder() const { return run() / "checkpoints"; }
  fs::path at(int64_t step) const {
    std::string digits = std::to_string(step);
    return folder() / ("step_" + std::string(8 - digits.size(), '0') + digits);
  }
  void save(int64_t step, int64_t keep = 0) { save(step, Model(static_cast<uint64_t>(step)), keep); }
  void save(int64_t step, const Model& model, int64_t keep = 0) {
    save_checkpoint(run(), step, model.tensors(), state_at(step), keep);
  }
  // The folder holds exactly what was saved at `step` from Model(seed).
  void expect_holds(const fs::path& checkpoint, int64_t step, uint64_t seed) {
    Model loaded(999);
    EXPECT_EQ(load_checkpoint(checkpoint, loaded.tensors()), state_at(step));
    EXPECT_TRUE(loaded.model_bytes() == Model(seed).model_bytes());
    EXPECT_TRUE(loaded.optimizer_bytes() == Model(seed).optimizer_bytes());
  }
  void expect_latest(int64_t step) {
    const auto latest = latest_checkpoint(run());
    ASSERT_TRUE(latest);
    EXPECT_EQ(*latest, at(step));
    expect_holds(*latest, step, static_cast<uint64_t>(step));
  }
  std::set<std::string> names() const {
    std::set<std::string> out;
    for (const auto& entry : fs::directory_iterator(folder())) out.insert(entry.path().filename());
    return out;
  }
  static void write(const fs::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  }

  static void put(const fs::path& path, size_t position, char byte) {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(position)).put(byte);
  }

  TemporaryFolder folder_;
};

const std::set<std::string> kAllFiles = {"state.json", "model.safetensors", "optimizer.safetensors"};

TEST_F(Checkpoint, RoundTripsBitwise) {
  for (DType dtype : {DType::f32, DType::f64})
    for (int64_t width : {1, 5, 16}) {
      const Model saved(1, dtype, width);
      save(3, saved);
      Model loaded(2, dtype, width);
      const std::string scratch = Model::bytes_of(loaded.scratch());
      EXPECT_EQ(load_checkpoint(at(3), loaded.tensors()), state_at(3));
      EXPECT_TRUE(loaded.model_bytes() == saved.model_bytes());
      EXPECT_TRUE(loaded.optimizer_bytes() == saved.optimizer_bytes());
      EXPECT_TRUE(Model::bytes_of(loaded.scratch()) == scratch) << "a row that is not persistent was written";
    }
}

TEST_F(Checkpoint, HoldsExactlyTheFilesItPromises) {
  save(3);
  EXPECT_EQ(names(), (std::set<std::string>{"LATEST", "step_00000003"}));
  EXPECT_EQ(read_text_file(folder() / "LATEST"), "step_00000003\n");
  std::set<std::string> files;
  for (const auto& entry : fs::directory_iterator(at(3))) files.insert(entry.path().filename());
  EXPECT_EQ(files, kAllFiles);
  const SafetensorsFile model(at(3) / "model.safetensors"), optimizer(at(3) / "optimizer.safetensors");
  EXPECT_EQ(model.metadata().at("format"), "pt");
  EXPECT_EQ(model.entries().size(), 9u + 3u);
  EXPECT_EQ(model.find("layers.0.sums"), nullptr);
  EXPECT_EQ(model.find("layers.1.experts")->sizes, (std::vector<int64_t>{2, 3, 5}));
  EXPECT_EQ(optimizer.entries().size(), 18u);
  EXPECT_EQ(optimizer.find("v.layers.1.k")->sizes, (std::vector<int64_t>{2, 5}));
  const json state = json::parse(read_text_file(at(3) / "state.json"));
  EXPECT_EQ(state["format_version"], 1);
  EXPECT_EQ(state["files"]["model.safetensors"],
            checksum_text(checksum_of(read_text_file(at(3) / "model.safetensors"))));
  EXPECT_EQ(read_checkpoint_state(at(3)), state_at(3));
}

TEST_F(Checkpoint, F32WidensIntoADoubleModel) {
  const Model saved(1);
  for (int64_t i = 0; i < saved.params().element_count(); ++i)
    saved.params().values().as<float>()[i] = 0.1f * static_cast<float>(i);
  ParamTable wide(DType::f64);
  for (const ParamRow& row : saved.params().rows()) wide.add(row);
  std::vector<double> memory(static_cast<size_t>(wide.element_count()));
  wide.bind(Tensor(memory.data(), DType::f64, {wide.element_count()}), {});
  save_checkpoint(run(), 3, {saved.params(), StateTable(), {}, {}}, state_at(3), 0);
  load_model(at(3), wide, StateTable());
  for (size_t r = 0; r < wide.rows().size(); ++r)
    for (int64_t i = 0; i < wide.rows()[r].count; ++i)
      EXPECT_EQ(wide.row_value(wide.rows()[r]).as<double>()[i],
                static_cast<double>(saved.params().row_value(saved.params().rows()[r]).as<float>()[i]));
}

TEST_F(Checkpoint, TheModelAloneNeedsNoOptimizerFile) {
  save(3);
  fs::remove(at(3) / "optimizer.safetensors");
  Model loaded(9);
  const std::string optimizer = loaded.optimizer_bytes();
  EXPECT_EQ(load_model(at(3), loaded.params(), loaded.state()), state_at(3));
  EXPECT_TRUE(loaded.model_bytes() == Model(3).model_bytes());
  EXPECT_TRUE(loaded.optimizer_bytes() == optimizer);
}

TEST_F(Checkpoint, SavedWithoutOptimizerCannotResume) {
  save_checkpoint(run(), 3, Model(3).model_only(), state_at(3), 0);
  EXPECT_FALSE(fs::exists(at(3) / "optimizer.safetensors"));
  Model loaded(9);
  const std::string before = loaded.all_bytes();
  EXPECT_EQ(message<UserError>([&] { load_checkpoint(at(3), loaded.tensors()); }),
            (at(3) / "optimizer.safetensors").string() +
                ": was not saved: this checkpoint holds the model alone, which no training can go on from");
  EXPECT_TRUE(loaded.all_bytes() == before);
  EXPECT_EQ(load_checkpoint(at(3), loaded.model_only()), state_at(3));
}

// ---- Which checkpoints there are ---------------------------------------------------------------------------------

TEST_F(Checkpoint, KeepsTheNewest) {
  for (int64_t step : {5, 10, 20, 100}) save(step, 2);
  EXPECT_EQ(list_checkpoints(run()), (std::vector<fs::path>{at(20), at(100)}));
  EXPECT_EQ(names(), (std::set<std::string>{"LATEST", "step_00000020", "step_00000100"}));
  expect_latest(100);
  save(110, 1);
  EXPECT_EQ(list_checkpoints(run()), (std::vector<fs::path>{at(110)}));
  for (int64_t step : {111, 112, 113}) save(step, 0);
  EXPECT_EQ(list_checkpoints(run()).size(), 4u);
}

TEST_F(Checkpoint, TakenBackTheRunKeepsTheStepItIsAtAndLaterOnes) {
  for (int64_t step : {10, 20, 30, 40}) save(step, 0);
  save(15, 2);
  EXPECT_EQ(list_checkpoints(run()), (std::vector<fs::path>{at(10), at(15), at(20), at(30), at(40)}));
  expect_latest(15);
  save(25, 1);
  EXPECT_EQ(list_checkpoints(run()), (std::vector<fs::path>{at(25), at(30), at(40)}));
  expect_latest(25);
}

TEST_F(Checkpoint, ReplacesAStep) {
  save(5);
  save(10);
  save(10, Model(77), 1);
  expect_holds(at(10), 10, 77);
  EXPECT_EQ(names(), (std::set<std::string>{"LATEST", "step_00000010"}));
}

TEST_F(Checkpoint, NoneYet) {
  EXPECT_FALSE(latest_checkpoint(run()));
  EXPECT_TRUE(list_checkpoints(run()).empty());
  EXPECT_EQ(message<UserError>([&] { resolve_checkpoint(run()); }), run().string() + ": no such file or folder");
  fs::create_directories(folder());
  EXPECT_FALSE(latest_checkpoint(run()));
  EXPECT_EQ(message<UserError>([&] { resolve_checkpoint(run()); }),
            run().string() + ": this run has no checkpoint yet");
  const std::string neither =
      ": neither the folder of a run (with checkpoints/ in it) nor a checkpoint (with state.json in it)";
  EXPECT_EQ(message<UserError>([&] { resolve_checkpoint(folder_.path()); }), folder_.path().string() + neither);
  write(folder_ / "file", "text");
  EXPECT_EQ(message<UserError>([&] { resolve_checkpoint(folder_ / "file"); }), (folder_ / "file").string() + neither);
}

TEST_F(Checkpoint, ResolvesRunsAndCheckpoints) {
  save(5);
  save(10);
  EXPECT_EQ(resolve_checkpoint(run()), at(10));
  EXPECT_EQ(resolve_checkpoint(at(5)), at(5));
  EXPECT_EQ(resolve_checkpoint(at(5) / ""), at(5) / "");
}

TEST_F(Checkpoint, OtherFoldersAreNotCheckpoints) {
  save(5);
  for (const char* name : {"step_5", "step_0000000x", "step_00000007x", "step_-0000007", "stop_00000007", "best"}) {
    fs::create_directory(folder() / name);
    write(folder() / name / "state.json", "{}");
  }
  fs::create_directory(at(9));  // no state.json: never completed by us
  EXPECT_EQ(list_checkpoints(run()), (std::vector<fs::path>{at(5)}));
  save(6, 1);
  EXPECT_TRUE(fs::exists(folder() / "step_00000007x"));
  EXPECT_TRUE(fs::exists(folder() / "best"));
}

// ---- Crashes: the folder as a kill would leave it at each stage of a save ----------------------------------------

TEST_F(Checkpoint, CrashWhileWriting) {
  save(5);
  save(10);
  fs::path unfinished = at(20);
  unfinished += ".tmp";
  fs::create_directory(unfinished);
  write(unfinished / "model.safetensors", "half");
  write(unfinished / "optimizer.safetensors.tmp", "half");
  EXPECT_EQ(list_checkpoints(run()), (std::vector<fs::path>{at(5), at(10)}));
  expect_latest(10);
  save(15);  // sweeps what the crash left
  EXPECT_EQ(names(), (std::set<std::string>{"LATEST", "step_00000005", "step_00000010", "step_00000015"}));
}

TEST_F(Checkpoint, CrashBeforeTheRename) {
  save(10);
  save(20);
  fs::path unfinished = at(20);
  unfinished += ".tmp";
  fs::rename(at(20), unfinished);
  write(folder() / "LATEST", "step_00000010\n");
  expect_latest(10);
  save(20);
  expect_latest(20);
  EXPECT_FALSE(fs::exists(unfinished));
}

TEST_F(Checkpoint, CrashBetweenRenameAndLatest) {
  save(10);
  save(20);
  write(folder() / "LATEST", "step_00000010\n");
  write(folder() / "LATEST.tmp", "step_0000");
  expect_latest(10);
  save(20);  // over the finished one
  expect_latest(20);
}

TEST_F(Checkpoint, CrashWhileReplacing) {
  save(10);
  fs::path old = at(10), unfinished = at(10);
  old += ".old";
  unfinished += ".tmp";
  fs::rename(at(10), old);
  fs::create_directory(unfinished);
  write(unfinished / "state.json", "whole or not");
  const auto latest = latest_checkpoint(run());
  ASSERT_TRUE(latest);
  EXPECT_EQ(*latest, old);
  expect_holds(*latest, 10, 10);
  EXPECT_EQ(resolve_checkpoint(run()), old);

  save(15);  // the moved one still counts as step 10
  EXPECT_EQ(list_checkpoints(run()), (std::vector<fs::path>{old, at(15)}));
  save(10, Model(10));
  EXPECT_EQ(list_checkpoints(run()), (std::vector<fs::path>{at(10), at(15)}));
  EXPECT_EQ(names(), (std::set<std::string>{"LATEST", "step_00000010", "step_00000015"}));
  expect_latest(10);
}

TEST_F(Checkpoint, CrashBeforeTheReplacedOneIsRemoved) {
  save(10);
  fs::path old = at(10);
  old += ".old";
  fs::rename(at(10), old);
  save(10, Model(77));
  EXPECT_FALSE(fs::exists(old));
  fs::copy(at(10), old, fs::copy_options::recursive);
  fs::remove(old / "model.safetensors");  // half removed
  EXPECT_EQ(list_checkpoints(run()), (std::vector<fs::path>{at(10)}));
  save(11);
  EXPECT_EQ(names(), (std::set<std::string>{"LATEST", "step_00000010", "step_00000011"}));
}

TEST_F(Checkpoint, WithoutLatestTheNewestCounts) {
  save(10);
  save(20);
  fs::remove(folder() / "LATEST");
  expect_latest(20);
  fs::copy(at(10), folder_ / "other");
  for (const char* content : {"step_00000030\n", "", "../../other\n", "step_00000010/..\n", "\n\n"}) {
    write(folder() / "LATEST", content);
    expect_latest(20);
  }
  write(folder() / "LATEST", "step_00000010");
  expect_latest(10);
  fs::remove(at(10) / "state.json");  // named, but not whole
  expect_latest(20);
}

// ---- Damage ------------------------------------------------------------------------------------------------------

TEST_F(Checkpoint, EveryFlippedByteIsFoundBeforeAnyTensorIsWritten) {
  save(10);
  save(20);
  Model loaded(999);
  const std::string before = loaded.all_bytes();
  for (const std::string& name : kAllFiles) {
    const std::string whole = read_text_file(at(20) / name);
    for (size_t i = 0; i < whole.size(); ++i) {
      const int mask = i % 3 == 0 ? 0x20 : i % 3 == 1 ? 0x01 : 0xff;
      put(at(20) / name, i, static_cast<char>(whole[i] ^ mask));
      const std::string why = message<UserError>([&] { load_checkpoint(at(20), loaded.tensors()); });
      EXPECT_EQ(why.find((at(20) / name).string() + ": does not match its"), 0u) << i << ": " << why;
      EXPECT_TRUE(contains(why, "; remove " + at(20).string() + ", then the earlier step_00000010 is used")) << why;
      put(at(20) / name, i, whole[i]);
    }
  }
  EXPECT_TRUE(loaded.all_bytes() == before);
  expect_holds(at(20), 20, 20);
}

TEST_F(Checkpoint, EveryTruncationIsFound) {
  save(10);
  Model loaded(999);
  const std::string before = loaded.all_bytes();
  for (const std::string& name : kAllFiles) {
    const std::string whole = read_text_file(at(10) / name);
    for (size_t size = whole.size(); size-- > 0;) {
      fs::resize_file(at(10) / name, size);
      const std::string why = message<UserError>([&] { load_checkpoint(at(10), loaded.tensors()); });
      EXPECT_TRUE(contains(why, (at(10) / name).string() + ": does not match its")) << size << ": " << why;
      EXPECT_TRUE(contains(why, "; there is no earlier checkpoint beside it: start the run again")) << why;
    }
    write(at(10) / name, whole + '\0');
    EXPECT_THROW(load_checkpoint(at(10), loaded.tensors()), UserError);
    write(at(10) / name, whole);
  }
  EXPECT_TRUE(loaded.all_bytes() == before);
}

TEST_F(Checkpoint, AMissingFileIsNamed) {
  save(10);
  save(20);
  save(30);
  Model loaded(999);
  for (const std::string& name : kAllFiles) {
    fs::rename(at(20) / name, folder_ / name);
    EXPECT_EQ(message<UserError>([&] { load_checkpoint(at(20), loaded.tensors()); }),
              (at(20) / name).string() + ": cannot open: No such file or directory; remove " + at(20).string() +
                  ", then the earlier step_00000010 is used");
    fs::rename(folder_ / name, at(20) / name);
  }
}

// Files of two checkpoints, each whole, do not make one.
TEST_F(Checkpoint, MixedCheckpointsAreFound) {
  save(10);
  save(20);
  fs::copy_file(at(10) / "optimizer.safetensors", at(20) / "optimizer.safetensors",
                fs::copy_options::overwrite_existing);
  Model loaded(999);
  EXPECT_THROW(load_checkpoint(at(20), loaded.tensors()), UserError);
}

TEST_F(Checkpoint, ANewerFormatIsNotGuessedAt) {
  save(10);
  std::string content = read_text_file(at(10) / "state.json");
  const size_t version = content.find("\"format_version\": 1");
  ASSERT_NE(version, std::string::npos);
  content.replace(version, 19, "\"format_version\": 2");
  const std::string body = content.substr(0, content.rfind(",\n  \"checksum\""));
  write(at(10) / "state.json", body + ",\n  \"checksum\": \"" + checksum_text(checksum_of(body)) + "\"\n}\n");
  EXPECT_EQ(message<UserError>([&] { read_checkpoint_state(at(10)); }),
            (at(10) / "state.json").string() +
                ": the checkpoint has format version 2 and this build of gptmoe reads version 1: update gptmoe");
}

TEST_F(Checkpoint, AnotherModelIsRefusedByItsFirstTensor) {
  save(10);
  const auto refusal = [&](const Model& model) {
    const std::string before = model.all_bytes();
    const std::string why = message<UserError>([&] { load_checkpoint(at(10), model.tensors()); });
    EXPECT_TRUE(model.all_bytes() == before);
    EXPECT_TRUE(contains(why,
                         "; the checkpoint is of another model: use the configuration it was saved with "
                         "(config.json of its run)"))
        << why;
    return why.substr(0, why.find(';'));
  };
  const std::string file = (at(10) / "model.safetensors").string() + ": tensor ";
  EXPECT_EQ(refusal(Model(1, DType::f32, 6)), file + "\"embed\": has the shape (7, 5) and not (7, 6)");
  EXPECT_EQ(refusal(Model(1, DType::f32, 5, 3)), file + "\"layers.2.q\": is missing");
  EXPECT_EQ(refusal(Model(1, DType::f32, 5, 1)), file + "\"layers.1.q\": this run's model has none");
  save(10, Model(1, DType::f64));
  EXPECT_EQ(refusal(Model(1)), file + "\"embed\": holds f64, which does not convert exactly to f32");
}

// ---- A disk that does not take it --------------------------------------------------------------------------------

TEST_F(Checkpoint, AFullDiskLeavesEverythingAsItWas) {
  save(5);
  save(10);
  const auto before = names();
  json state = state_at(20);
  state["padding"] = std::string(20000, 'x');
  const auto model_size = fs::file_size(at(10) / "model.safetensors");
  const auto optimizer_size = fs::file_size(at(10) / "optimizer.safetensors");
  ASSERT_LT(model_size, optimizer_size);
  for (const auto& [limit, name] : {std::pair<rlim_t, std::string>{100, "model.safetensors"},
                                    {model_size - 1, "model.safetensors"},
                                    {model_size, "optimizer.safetensors"},
                                    {optimizer_size, "state.json"}})
    for (int64_t step : {20, 10}) {  // a new step and one that is there
      std::string why;
      {
        const FileSizeLimit full(limit);
        why = message<Failure>([&] { save_checkpoint(run(), step, Model(77).tensors(), state, 1); });
      }
      EXPECT_EQ(why, (at(step).string() + ".tmp/" + name) + ": cannot write: File too large; step " +
                         std::to_string(step) + " is not saved, the previous checkpoint is intact: " + at(10).string());
      EXPECT_EQ(names(), before);
      expect_latest(10);
      expect_holds(at(5), 5, 5);
    }
}

TEST_F(Checkpoint, AFullDiskAtTheFirstSave) {
  std::string why;
  {
    const FileSizeLimit full(100);
    why = message<Failure>([&] { save(5); });
  }
  EXPECT_TRUE(contains(why, "; step 5 is not saved, and there is no earlier checkpoint")) << why;
  EXPECT_TRUE(names().empty());
}

TEST_F(Checkpoint, AFileInTheWayIsNamed) {
  fs::create_directory(run());
  write(folder(), "a file");
  EXPECT_EQ(message<Failure>([&] { save(5); }),
            folder().string() + ": Not a directory; step 5 is not saved, and there is no earlier checkpoint");
  EXPECT_EQ(read_text_file(folder()), "a file");
}

TEST_F(Checkpoint, NoPermission) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write anywhere";
  save(5);
  fs::permissions(folder(), fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_EQ(message<Failure>([&] { save(10); }), at(10).string() +
                                                     ".tmp: Permission denied; step 10 is not saved, the "
                                                     "previous checkpoint is intact: " +
                                                     at(5).string());
  fs::permissions(folder(), fs::perms::owner_all);
  expect_latest(5);
}

// LATEST cannot be replaced: everything that was named before still is.
TEST_F(Checkpoint, AFailureAtTheLastStageKeepsThePrevious) {
  save(5);
  fs::create_directory(folder() / "LATEST.tmp");
  const std::string why = message<Failure>([&] { save(10, 1); });
  EXPECT_TRUE(contains(why, "the previous checkpoint is intact: " + at(5).string())) << why;
  expect_latest(5);

  EXPECT_THROW(save(5, Model(77), 1), Failure);  // the one being replaced waits until the new one is named
  fs::path old = at(5);
  old += ".old";
  expect_holds(old, 5, 5);
  expect_holds(at(5), 5, 77);

  fs::remove(folder() / "LATEST.tmp");
  save(10, 1);
  EXPECT_EQ(names(), (std::set<std::string>{"LATEST", "step_00000010"}));
  expect_latest(10);
}

}  // namespace
}  // namespace gptmoe
