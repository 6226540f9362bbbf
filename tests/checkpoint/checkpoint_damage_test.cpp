// Damaged checkpoints are refused before anything is loaded from them.
#include <string>

#include "base/check.h"
#include "base/checksum.h"
#include "base/file.h"
#include "checkpoint/checkpoint_fixture.h"
#include "support/error_message.h"

namespace gptmoe::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

using CheckpointDamage = Checkpoint;

TEST_F(CheckpointDamage, EveryFlippedByteIsFoundBeforeAnyTensorIsWritten) {
  save(10);
  save(20);
  CheckpointModel loaded(999);
  const std::string before = loaded.all_bytes();
  for (const std::string& name : kReadFiles) {
    const std::string whole = read_text_file(at(20) / name);
    for (size_t i = 0; i < whole.size(); ++i) {
      const int mask = i % 3 == 0 ? 0x20 : i % 3 == 1 ? 0x01 : 0xff;
      put(at(20) / name, i, static_cast<char>(whole[i] ^ mask));
      const std::string why = message<UserError>([&] { load_checkpoint(at(20), loaded.tensors()); });
      EXPECT_EQ(why.find((at(20) / name).string() + ": does not match its"), 0u) << i << ": " << why;
      EXPECT_TRUE(contains(why, "; remove " + at(20).string() + " to use the earlier step_00000010")) << why;
      put(at(20) / name, i, whole[i]);
    }
  }
  EXPECT_TRUE(loaded.all_bytes() == before);
  expect_holds(at(20), 20, 20);
}

TEST_F(CheckpointDamage, EveryTruncationIsFound) {
  save(10);
  CheckpointModel loaded(999);
  const std::string before = loaded.all_bytes();
  for (const std::string& name : kReadFiles) {
    const std::string whole = read_text_file(at(10) / name);
    for (size_t size = whole.size(); size-- > 0;) {
      fs::resize_file(at(10) / name, size);
      const std::string why = message<UserError>([&] { load_checkpoint(at(10), loaded.tensors()); });
      EXPECT_TRUE(contains(why, (at(10) / name).string() + ": does not match its")) << size << ": " << why;
      EXPECT_TRUE(contains(why, "; there is no earlier checkpoint: start the run again")) << why;
    }
    write(at(10) / name, whole + '\0');
    EXPECT_THROW(load_checkpoint(at(10), loaded.tensors()), UserError);
    write(at(10) / name, whole);
  }
  EXPECT_TRUE(loaded.all_bytes() == before);
}

TEST_F(CheckpointDamage, AMissingFileIsNamed) {
  save(10);
  save(20);
  save(30);
  CheckpointModel loaded(999);
  for (const std::string& name : kReadFiles) {
    fs::rename(at(20) / name, folder_ / name);
    EXPECT_EQ(message<UserError>([&] { load_checkpoint(at(20), loaded.tensors()); }),
              (at(20) / name).string() + ": cannot open: No such file or directory; remove " + at(20).string() +
                  " to use the earlier step_00000010");
    fs::rename(folder_ / name, at(20) / name);
  }
}

// The step that a message recommends is intact.
TEST_F(CheckpointDamage, NoDamagedStepIsRecommended) {
  for (const int64_t step : {10, 20, 30}) save(step);
  fs::resize_file(at(30) / "model.safetensors", 100);
  fs::resize_file(at(20) / "optimizer.safetensors", 100);
  EXPECT_EQ(damage_remedy(at(30)),
            "remove " + at(30).string() + " and step_00000020, which is damaged too, to use the earlier step_00000010");
  fs::remove(at(10) / "model.safetensors");
  EXPECT_EQ(damage_remedy(at(30)), "no earlier checkpoint is intact: start the run again");
}

TEST_F(CheckpointDamage, DamageOutsideARunIsNoReasonToTrainAgain) {
  save(10);
  const fs::path copy = folder_ / "copy";
  fs::copy(at(10), copy);
  fs::resize_file(copy / "model.safetensors", 100);
  EXPECT_TRUE(contains(message<UserError>([&] { open_model(copy); }), "cut short; import or copy it again"));
}

// Intact files from two different checkpoints do not form a checkpoint.
TEST_F(CheckpointDamage, MixedCheckpointsAreFound) {
  save(10);
  save(20);
  fs::copy_file(at(10) / "optimizer.safetensors", at(20) / "optimizer.safetensors",
                fs::copy_options::overwrite_existing);
  CheckpointModel loaded(999);
  EXPECT_THROW(load_checkpoint(at(20), loaded.tensors()), UserError);
}

TEST_F(CheckpointDamage, ANewerFormatIsRefused) {
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

TEST_F(CheckpointDamage, ARefusalOfAnotherModelNamesTheFirstTensorThatDiffers) {
  save(10);
  const auto refusal = [&](const CheckpointModel& model) {
    const std::string before = model.all_bytes();
    const std::string why = message<UserError>([&] { load_checkpoint(at(10), model.tensors()); });
    EXPECT_TRUE(model.all_bytes() == before);
    EXPECT_TRUE(contains(why,
                         "; the checkpoint belongs to another model: use the config it was saved with "
                         "(config.json of its run)"))
        << why;
    return why.substr(0, why.find(';'));
  };
  const std::string file = (at(10) / "model.safetensors").string() + ": tensor ";
  EXPECT_EQ(refusal(CheckpointModel(1, DType::f32, 6)), file + "\"embed\": has the shape (7, 5) and not (7, 6)");
  EXPECT_EQ(refusal(CheckpointModel(1, DType::f32, 5, 3)), file + "\"layers.2.q\": is missing");
  EXPECT_EQ(refusal(CheckpointModel(1, DType::f32, 5, 1)), file + "\"layers.1.q\": this run's model does not have it");
  save(10, CheckpointModel(1, DType::f64));
  EXPECT_EQ(refusal(CheckpointModel(1)), file + "\"embed\": holds f64, which does not convert exactly to f32");
}

}  // namespace
}  // namespace gptmoe::testing
