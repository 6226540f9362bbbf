#include "checkpoint/checkpoint.h"

#include "base/check.h"
#include "base/checksum.h"
#include "base/file.h"
#include "checkpoint/checkpoint_fixture.h"
#include "checkpoint/safetensors.h"
#include "support/error_message.h"

namespace gptmoe::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

TEST_F(Checkpoint, RoundTripsBitwise) {
  for (DType dtype : {DType::f32, DType::f64})
    for (int64_t width : {1, 5, 16}) {
      const CheckpointModel saved(1, dtype, width);
      save(3, saved);
      CheckpointModel loaded(2, dtype, width);
      const std::string scratch = CheckpointModel::bytes_of(loaded.scratch());
      EXPECT_EQ(load_checkpoint(at(3), loaded.tensors()), state_at(3));
      EXPECT_TRUE(loaded.model_bytes() == saved.model_bytes());
      EXPECT_TRUE(loaded.optimizer_bytes() == saved.optimizer_bytes());
      EXPECT_TRUE(CheckpointModel::bytes_of(loaded.scratch()) == scratch) << "a row that is not persistent was written";
    }
}

TEST_F(Checkpoint, HoldsExactlyTheFilesItPromises) {
  save(3);
  EXPECT_EQ(names(), (std::set<std::string>{"LATEST", "step_00000003"}));
  EXPECT_EQ(read_text_file(folder() / "LATEST"), "step_00000003\n");
  std::set<std::string> files;
  for (const auto& entry : fs::directory_iterator(at(3))) files.insert(entry.path().filename());
  std::set<std::string> expected = kReadFiles;
  expected.insert("config.json");
  EXPECT_EQ(files, expected);
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
  const CheckpointModel saved(1);
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

// Without it, Hugging Face's classes would build their default model.
TEST_F(Checkpoint, TransformersCannotUseItsConfig) {
  save(3);
  const json config = json::parse(read_text_file(at(3) / "config.json"));
  EXPECT_EQ(config["model_type"], "gptmoe_checkpoint");
  EXPECT_TRUE(config["vocab_size"].is_string() && config["hidden_size"].is_string());
  EXPECT_EQ(json::parse(read_text_file(at(3) / "state.json"))["files"]["config.json"],
            checksum_text(checksum_of(read_text_file(at(3) / "config.json"))));
  fs::remove(at(3) / "config.json");  // older checkpoints have none
  CheckpointModel loaded(9);
  EXPECT_EQ(load_checkpoint(at(3), loaded.tensors()), state_at(3));
}

TEST_F(Checkpoint, TheModelAloneNeedsNoOptimizerFile) {
  save(3);
  fs::remove(at(3) / "optimizer.safetensors");
  CheckpointModel loaded(9);
  const std::string optimizer = loaded.optimizer_bytes();
  EXPECT_EQ(load_model(at(3), loaded.params(), loaded.state()), state_at(3));
  EXPECT_TRUE(loaded.model_bytes() == CheckpointModel(3).model_bytes());
  EXPECT_TRUE(loaded.optimizer_bytes() == optimizer);
}

TEST_F(Checkpoint, ASaveWithoutTheOptimizerCannotResume) {
  save_checkpoint(run(), 3, CheckpointModel(3).model_only(), state_at(3), 0);
  EXPECT_FALSE(fs::exists(at(3) / "optimizer.safetensors"));
  CheckpointModel loaded(9);
  const std::string before = loaded.all_bytes();
  EXPECT_EQ(message<UserError>([&] { load_checkpoint(at(3), loaded.tensors()); }),
            (at(3) / "optimizer.safetensors").string() +
                ": was not saved: this checkpoint holds only the model, so training cannot continue from it");
  EXPECT_TRUE(loaded.all_bytes() == before);
  EXPECT_EQ(load_checkpoint(at(3), loaded.model_only()), state_at(3));
}

// ---- Which checkpoints exist -------------------------------------------------------------------------------------

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

TEST_F(Checkpoint, AfterGoingBackARunKeepsItsCurrentStepAndLaterOnes) {
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
  save(10, CheckpointModel(77), 1);
  expect_holds(at(10), 10, 77);
  EXPECT_EQ(names(), (std::set<std::string>{"LATEST", "step_00000010"}));
}

TEST_F(Checkpoint, NoneExistsBeforeTheFirstSave) {
  EXPECT_FALSE(latest_checkpoint(run()));
  EXPECT_TRUE(list_checkpoints(run()).empty());
  EXPECT_EQ(message<UserError>([&] { resolve_checkpoint(run()); }), run().string() + ": no such file or folder");
  fs::create_directories(folder());
  EXPECT_FALSE(latest_checkpoint(run()));
  EXPECT_EQ(message<UserError>([&] { resolve_checkpoint(run()); }),
            run().string() + ": this run has no checkpoint yet");
  const std::string neither =
      ": neither a run's folder (which holds checkpoints/) nor a checkpoint (which holds state.json)";
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
  fs::create_directory(at(9));  // no state.json: not a finished checkpoint
  EXPECT_EQ(list_checkpoints(run()), (std::vector<fs::path>{at(5)}));
  save(6, 1);
  EXPECT_TRUE(fs::exists(folder() / "step_00000007x"));
  EXPECT_TRUE(fs::exists(folder() / "best"));
}

}  // namespace
}  // namespace gptmoe::testing
