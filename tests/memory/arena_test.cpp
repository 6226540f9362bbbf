#include "memory/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace gptmoe {
namespace {

std::vector<Tensor> lay_out(Arena& arena) {
  return {arena.allocate(DType::f32, {3, 5}), arena.allocate(DType::i64, {1}), arena.allocate(DType::bf16, {0}),
          arena.allocate(DType::f64, {7, 2})};
}

TEST(Arena, PlannedAndCommittedLayoutsMatch) {
  Arena arena("test");
  const auto planned = lay_out(arena);
  const int64_t used = arena.used();
  EXPECT_EQ(used, 64 + 64 + 0 + 128);  // 60, 8, 0 and 112 bytes, each rounded up to a multiple of 64
  EXPECT_FALSE(arena.committed());
  for (const Tensor& tensor : planned) EXPECT_EQ(tensor.data(), nullptr);

  arena.commit();
  EXPECT_TRUE(arena.committed());
  EXPECT_EQ(arena.used(), 0);
  const auto real = lay_out(arena);
  EXPECT_EQ(arena.used(), used);
  const std::vector<int64_t> offsets{0, 64, 128, 128};
  for (size_t i = 0; i < real.size(); ++i) {
    EXPECT_EQ(static_cast<char*>(real[i].data()) - arena.data(), offsets[i]);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(real[i].data()) % Arena::kAlignment, 0u);
    EXPECT_EQ(real[i].describe(), planned[i].describe());
  }
}

TEST(Arena, CommittedMemoryIsZeroAndWritable) {
  Arena arena("test");
  arena.allocate(DType::f32, {1000});
  arena.commit();
  auto* values = arena.allocate(DType::f32, {1000}).as<float>();
  EXPECT_TRUE(std::all_of(values, values + 1000, [](float value) { return value == 0; }));
  std::fill(values, values + 1000, 1.0f);
  EXPECT_EQ(values[999], 1.0f);
}

TEST(Arena, MoreThanPlannedIsABug) {
  Arena arena("test");
  arena.allocate(DType::f32, {16});
  arena.commit();
  arena.allocate(DType::f32, {16});
  EXPECT_THROW(arena.allocate(DType::f32, {1}), BugError);
}

TEST(Arena, SecondCommitIsABug) {
  Arena arena("test");
  arena.commit();
  EXPECT_THROW(arena.commit(), BugError);
}

TEST(Arena, EmptyArenaCommits) {
  Arena arena("test");
  arena.commit();
  EXPECT_EQ(arena.high_water(), 0);
  EXPECT_EQ(arena.allocate(DType::f32, {0}).count(), 0);
}

TEST(Arena, AnOutOfMemoryFailureNamesTheArena) {
  Arena arena("activations");
  arena.allocate(DType::f32, {int64_t{1} << 50});
  try {
    arena.commit();
    FAIL() << "allocating 4 PiB succeeded";
  } catch (const Failure& failure) {
    EXPECT_NE(std::string(failure.what()).find("arena activations needs 4294967296 MiB"), std::string::npos)
        << failure.what();
  }
}

void use_frames(Scratch& scratch) {
  Scratch::Frame outer(scratch);
  outer.allocate(DType::f32, {16});
  {
    Scratch::Frame inner(scratch);
    inner.allocate(DType::f32, {64});
    EXPECT_EQ(scratch.used(), 64 + 256);
  }
  EXPECT_EQ(scratch.used(), 64);
  {
    Scratch::Frame inner(scratch);
    inner.allocate(DType::f32, {32});
    EXPECT_EQ(scratch.used(), 64 + 128);
  }
}

TEST(Scratch, FramesReturnTheirMemoryButTheHighWaterMarkStays) {
  Scratch scratch;
  use_frames(scratch);
  EXPECT_EQ(scratch.used(), 0);
  EXPECT_EQ(scratch.high_water(), 320);
  scratch.commit();
  use_frames(scratch);
  EXPECT_EQ(scratch.high_water(), 320);
}

TEST(Scratch, SuccessiveFramesShareMemory) {
  Scratch scratch;
  { Scratch::Frame(scratch).allocate(DType::f32, {16}); }
  scratch.commit();
  void* first = Scratch::Frame(scratch).allocate(DType::f32, {16}).data();
  void* second = Scratch::Frame(scratch).allocate(DType::f32, {8}).data();
  EXPECT_EQ(first, second);
  Scratch::Frame frame(scratch);
  EXPECT_THROW(frame.allocate(DType::f32, {17}), BugError);
}

TEST(Scratch, AnExceptionReleasesTheFrame) {
  Scratch scratch;
  try {
    Scratch::Frame frame(scratch);
    frame.allocate(DType::f32, {16});
    throw Failure("stop");
  } catch (const Failure&) {
  }
  EXPECT_EQ(scratch.used(), 0);
}

}  // namespace
}  // namespace gptmoe
