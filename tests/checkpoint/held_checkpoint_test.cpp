// Readers of checkpoints beside a run that removes old ones.
#include "checkpoint/held_checkpoint.h"

#include <atomic>
#include <thread>

#include "checkpoint/checkpoint_fixture.h"

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
