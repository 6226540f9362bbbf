// Runs on several ranks, without running them: how they share a batch, and what each rank holds and sends.
#include "engine/config_for_rank.h"

#include "kernels/block_code.h"
#include "kernels/plan_ops.h"
#include "support/error_line.h"
#include "support/error_message.h"
#include "support/rank_config.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

TEST(PerRank, AMicroBatchIsNoLargerThanTheRanksShare) {
  const Config config = tiny_config({{"train", {{"micro_batch_size", 8}, {"global_batch_size", 16}}}});
  EXPECT_EQ(config_for_rank(config, 1).train.micro_batch_size, 8);
  EXPECT_EQ(config_for_rank(config, 2).train.micro_batch_size, 8);
  EXPECT_EQ(config_for_rank(config, 4).train.micro_batch_size, 4);
  EXPECT_EQ(config_for_rank(config, 16).train.micro_batch_size, 1);
}

TEST(PerRank, RefusesABatchThatRanksCannotShareEqually) {
  const Config config = tiny_config({{"train", {{"micro_batch_size", 4}, {"global_batch_size", 12}}}});
  EXPECT_EQ(
      message<UserError>([&] { config_for_rank(config, 5); }),
      "train.global_batch_size: 12 sequences cannot be shared equally by 5 ranks; make it a multiple of 5, or change "
      "the number of ranks");
  EXPECT_EQ(message<UserError>([&] { config_for_rank(config, 2); }),
            "train.micro_batch_size: 4 does not divide the 6 sequences per step of each of 2 ranks; add --set "
            "train.micro_batch_size=N, with an N that does");
  EXPECT_THROW(config_for_rank(config, 24), UserError);
}

class OnPaper : public ::testing::Test {
 protected:
  Engine engine(const Config& config, int ranks, int rank = 0) const {
    return Engine(config, Purpose::train, config.train.micro_batch_size, config.train.sequence_length, ops_,
                  {rank, ranks});
  }
  static int64_t bytes_of(const Engine& engine, const std::string& arena) {
    for (const Engine::ArenaSize& size : engine.arena_sizes())
      if (size.name == arena) return size.bytes;
    return 0;
  }
  const Ops ops_ = make_plan_ops(DType::bf16, DType::f32, 1 << 20, 0);
};

TEST_F(OnPaper, TheOptimizerIsSplitIntoEqualPartsThatCoverIt) {
  const Config zero = rank_config({{"distributed", {{"zero_stage", 1}}}});
  for (int ranks : {2, 4, 8}) {
    std::vector<int> held(static_cast<size_t>(engine(zero, ranks).gpt().params().element_count()));
    const int64_t part = engine(zero, ranks).optimizer().partition().count();
    for (int rank = 0; rank < ranks; ++rank) {
      const Engine own = engine(zero, ranks, rank);
      const Partition& partition = own.optimizer().partition();
      EXPECT_EQ(partition.count(), part);
      for (const Partition::Piece& piece : partition.pieces())
        for (int64_t i = 0; i < piece.count; ++i)
          if (!piece.replicated || rank == 0) ++held[static_cast<size_t>(piece.offset + i)];
    }
    EXPECT_EQ(std::count(held.begin(), held.end(), 1), std::ssize(held));
    // Every rank holds the routers' weights in full: here 3 layers of 8 x 64.
    const int64_t whole = engine(rank_config(), ranks).optimizer().partition().count();
    EXPECT_LE(part, whole / ranks + 3 * 8 * 64 + ranks * kBlockElements * 8);
  }
}

TEST_F(OnPaper, ARankSendsTheBytesOfRingCollectives) {
  const Engine plain = engine(rank_config(), 4), zero = engine(rank_config({{"distributed", {{"zero_stage", 1}}}}), 4),
               bf16 = engine(rank_config({{"distributed", {{"reduce_dtype", "bf16"}}}}), 4);
  const auto bytes = [](const TrafficCosts& costs, Traffic traffic) {
    return costs[static_cast<size_t>(traffic)].bytes;
  };
  const int64_t elements = plain.gpt().params().element_count(), routers = 3 * 8 * 64;
  EXPECT_EQ(bytes(plain.traffic().step, Traffic::gradients), 2 * 3 * elements * 4 / 4);
  EXPECT_EQ(bytes(plain.traffic().step, Traffic::weights), 0);
  EXPECT_EQ(bytes(bf16.traffic().step, Traffic::gradients), 2 * 3 * ((elements - routers) * 2 + routers * 4) / 4);
  const int64_t padded = zero.gpt().params().element_count();
  EXPECT_EQ(bytes(zero.traffic().step, Traffic::gradients),
            3 * (padded - routers) * 4 / 4 + 2 * 3 * routers * 4 / 4 + 2 * 4 * 3 / 4);  // plus the norm
  EXPECT_EQ(bytes(zero.traffic().step, Traffic::weights), 3 * (padded - routers) * 2 / 4);
  EXPECT_EQ(bytes(zero.traffic().micro_batch, Traffic::balance), 3 * (2 * 8 * 4 * 3 / 4));
  EXPECT_EQ(bytes(zero.traffic().micro_batch, Traffic::default_vectors), 0) << "TopK has no default vectors";
}

TEST_F(OnPaper, ShardedGradientsTakeARanksPartAndTwoWindows) {
  for (const bool tied : {false, true}) {
    const json changes = {{"model", {{"num_hidden_layers", 6}, {"tie_word_embeddings", tied}}}};
    const auto at_stage = [&](int64_t stage, int ranks) {
      json run = changes;
      run["distributed"] = {{"zero_stage", stage}};
      return engine(rank_config(run), ranks);
    };
    for (int ranks : {2, 4, 8}) {
      const Engine whole = at_stage(1, ranks), sharded = at_stage(2, ranks);
      const ParamTable& params = sharded.gpt().params();
      const auto largest = [&](const std::vector<int>& buckets) {
        int64_t count = 0;
        for (int bucket : buckets) count = std::max(count, params.bucket_count(bucket));
        return count;
      };
      // Buckets: the embedding, six layers, the head. A tied embedding has a window of its own.
      const int64_t windows =
          (tied ? largest({0}) + largest({7, 5, 3, 1}) : largest({0, 7, 5, 3, 1})) + largest({6, 4, 2});
      EXPECT_EQ(bytes_of(whole, "gradients"), 4 * params.element_count());
      EXPECT_EQ(bytes_of(sharded, "gradients"), 4 * (sharded.optimizer().partition().count() + windows));
      EXPECT_LT(bytes_of(sharded, "gradients"), bytes_of(whole, "gradients"));
      EXPECT_EQ(sharded.total_bytes() - bytes_of(sharded, "gradients"),
                whole.total_bytes() - bytes_of(whole, "gradients"))
          << "nothing else changes";
    }
    EXPECT_EQ(bytes_of(at_stage(2, 1), "gradients"), bytes_of(at_stage(0, 1), "gradients"));
  }
}

TEST_F(OnPaper, ShardedGradientsAreSentInEveryMicroBatch) {
  const auto gradients = [](const TrafficCosts& costs) { return costs[static_cast<size_t>(Traffic::gradients)].bytes; };
  const Engine whole = engine(rank_config({{"distributed", {{"zero_stage", 1}}}}), 4),
               sharded = engine(rank_config({{"distributed", {{"zero_stage", 2}}}}), 4);
  constexpr int64_t kNorm = 2 * 4 * 3 / 4;
  EXPECT_EQ(gradients(whole.traffic().micro_batch), 0);
  EXPECT_EQ(gradients(sharded.traffic().micro_batch), gradients(whole.traffic().step) - kNorm);
  EXPECT_EQ(gradients(sharded.traffic().step), kNorm);
}

TEST_F(OnPaper, DefaultVectorsAreSentInEveryMicroBatchOrOnceAStep) {
  const auto calls = [&](const char* update) {
    const Engine run = engine(rank_config({{"router", {{"type", "default"}, {"ema_update", update}}}}), 2);
    const size_t vectors = static_cast<size_t>(Traffic::default_vectors);
    return std::pair(run.traffic().micro_batch[vectors].calls, run.traffic().step[vectors].calls);
  };
  EXPECT_EQ(calls("forward"), std::pair(int64_t{3}, int64_t{0}));
  EXPECT_EQ(calls("step"), std::pair(int64_t{0}, int64_t{3}));
}

}  // namespace
}  // namespace gptmoe::testing
