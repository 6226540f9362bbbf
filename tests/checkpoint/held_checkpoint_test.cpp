// Readers of checkpoints beside a run that removes old ones.
#include "checkpoint/held_checkpoint.h"

#include <atomic>
#include <thread>

#include "checkpoint/checkpoint_fixture.h"
#include "records/run_folder.h"

namespace gptmoe::testing {
namespace {

namespace fs = std::filesystem;

using HeldCheckpoints = Checkpoint;

TEST_F(HeldCheckpoints, ACheckpointThatIsReadIsNotRemoved) {
  save(5);
  save(10);
  {
    const HeldCheckpoint held = hold_checkpoint(at(5));
    save(15, 1);
    EXPECT_EQ(list_checkpoints(run()), (std::vector<fs::path>{at(5), at(15)}));
  }
  save(20, 1);
  EXPECT_EQ(list_checkpoints(run()), std::vector<fs::path>{at(20)});
}

TEST_F(HeldCheckpoints, ACheckpointThatIsReadIsNotRemovedWhenItsStepIsSavedAgain) {
  save(5);
  {
    const HeldCheckpoint first = hold_checkpoint(run());
    save(5);
    EXPECT_TRUE(is_checkpoint(at(5).string() + ".old"));
    const HeldCheckpoint second = hold_checkpoint(run());
    save(5);
    EXPECT_EQ(names().size(), 4u) << "LATEST, the new checkpoint and both held ones";
    EXPECT_EQ(list_checkpoints(run()), std::vector<fs::path>{at(5)});
  }
  save(10);
  EXPECT_EQ(names(), (std::set<std::string>{"LATEST", "step_00000005", "step_00000010"}));
}

// Files of two checkpoints would not match the checksums in state.json.
TEST_F(HeldCheckpoints, ACheckpointIsReadWholeWhileItsStepIsSavedAgain) {
  save(5);
  std::atomic<bool> done = false;
  std::thread trainer([&] {
    for (uint64_t seed = 1; seed <= 40; ++seed) save(5, CheckpointModel(seed));
    done = true;
  });
  CheckpointModel loaded(999);
  while (!done) {
    const HeldCheckpoint held = hold_checkpoint(run());
    EXPECT_NO_THROW(load_checkpoint(held.path, loaded.tensors()));
    EXPECT_NO_THROW(copy_checkpoint(held.path, folder_ / "copy"));
    EXPECT_NO_THROW(verify_checkpoint(folder_ / "copy/checkpoints" / at(5).filename()));
  }
  trainer.join();
}

TEST_F(HeldCheckpoints, AReaderAlwaysFindsACheckpoint) {
  save(1);
  std::atomic<bool> done = false;
  std::thread trainer([&] {
    for (int64_t step = 2; step <= 30; ++step) save(step, 1);
    done = true;
  });
  CheckpointModel loaded(999);
  int64_t reads = 0;
  for (; !done; ++reads) {
    const HeldCheckpoint held = hold_checkpoint(run());
    EXPECT_NO_THROW(load_checkpoint(held.path, loaded.tensors()));
    EXPECT_GE(saved_step(run()), 1);
  }
  trainer.join();
  EXPECT_GT(reads, 0);
}

}  // namespace
}  // namespace gptmoe::testing
