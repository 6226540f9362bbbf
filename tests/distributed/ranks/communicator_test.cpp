#include <gtest/gtest.h>
#include <mpi.h>

#include <cstring>
#include <thread>

#include "base/bf16.h"
#include "base/checksum.h"
#include "base/rng.h"
#include "distributed/mpi/mpi_communicator.h"
#include "distributed/mpi/staging.h"
#include "distributed/ranks/ranks.h"
#include "support/error_message.h"

namespace gptmoe {
namespace {

// The values are such that summing them in another order usually changes the result.
double sample(int rank, int64_t i) {
  const int64_t mixed = (i * 2654435761 + rank * 40503) % 65521;
  return (static_cast<double>(mixed) - 32760.5) / (rank % 2 == 0 ? 3.0 : 7000.0);
}

// A tensor that owns its elements.
struct Owned {
  DType dtype;
  int64_t count;
  std::vector<char> bytes;

  Owned(DType dtype_, int64_t count_)
      : dtype(dtype_), count(count_), bytes(static_cast<size_t>(count_ * dtype_bytes(dtype_))) {}
  Tensor tensor() { return Tensor(bytes.data(), dtype, {count}); }
  void set(int64_t i, double value) {
    char* to = bytes.data() + i * dtype_bytes(dtype);
    const auto put = [&](auto element) { std::memcpy(to, &element, sizeof element); };
    switch (dtype) {
      case DType::f32: return put(static_cast<float>(value));
      case DType::f64: return put(value);
      case DType::bf16: return put(bf16_bits(static_cast<float>(value)));
      case DType::i32: return put(static_cast<int32_t>(value));
      case DType::i64: return put(static_cast<int64_t>(value));
      case DType::u8: return put(static_cast<uint8_t>(value));
    }
  }
  double at(int64_t i) const {
    const char* from = bytes.data() + i * dtype_bytes(dtype);
    const auto get = [&](auto element) {
      std::memcpy(&element, from, sizeof element);
      return element;
    };
    switch (dtype) {
      case DType::f32: return get(0.0f);
      case DType::f64: return get(0.0);
      case DType::bf16: return bf16_value(get(uint16_t{0}));
      case DType::i32: return get(0);
      case DType::i64: return static_cast<double>(get(int64_t{0}));
      case DType::u8: return get(uint8_t{0});
    }
    return 0;
  }
};

Owned filled(DType dtype, int64_t count, int rank) {
  Owned x(dtype, count);
  for (int64_t i = 0; i < count; ++i) x.set(i, sample(rank, i));
  return x;
}

// The sum over ranks in rank order, computed in f64 for f64, otherwise in f32.
Owned summed(DType dtype, int64_t count) {
  Owned sum(dtype, count);
  std::vector<Owned> parts;
  for (int r = 0; r < ranks().size(); ++r) parts.push_back(filled(dtype, count, r));
  for (int64_t i = 0; i < count; ++i) {
    double wide = parts[0].at(i);
    auto narrow = static_cast<float>(wide);
    for (size_t r = 1; r < parts.size(); ++r) {
      wide += parts[r].at(i);
      narrow += static_cast<float>(parts[r].at(i));
    }
    sum.set(i, dtype == DType::f64 ? wide : narrow);
  }
  return sum;
}

std::unique_ptr<Communicator> communicator() { return ranks().make_host_communicator(); }

void expect_same_on_all_ranks(const Owned& x) {
  const std::string mine = checksum_text(checksum_of({x.bytes.data(), x.bytes.size()}));
  for (const std::string& other : ranks().all_gather(mine)) EXPECT_EQ(other, mine);
}

const int64_t kCounts[] = {0, 1, 2, 3, 5, 1000, 2048, 4096, 4097, 8192, 8193, 40003};
// A number of elements that takes three pieces, which is more than a collective sends at once.
constexpr int64_t kThreePieces = 2 * kMpiPieceBytes / 4 + 7;

TEST(AllReduce, EqualsTheSumInRankOrder) {
  const auto ranks_of = communicator();
  for (DType dtype : {DType::f32, DType::f64, DType::bf16})
    for (int64_t count : kCounts) {
      SCOPED_TRACE(::testing::Message() << dtype_name(dtype) << " " << count);
      Owned x = filled(dtype, count, ranks().rank());
      ranks_of->all_reduce(x.tensor(), Traffic::gradients);
      ASSERT_TRUE(x.bytes == summed(dtype, count).bytes);
      expect_same_on_all_ranks(x);
    }
}

TEST(ReduceScatter, GivesEachRankItsPartOfTheSum) {
  const auto ranks_of = communicator();
  for (DType dtype : {DType::f32, DType::f64, DType::bf16})
    for (int64_t part : kCounts) {
      SCOPED_TRACE(::testing::Message() << dtype_name(dtype) << " " << part);
      const int64_t count = part * ranks().size();
      Owned x = filled(dtype, count, ranks().rank());
      ranks_of->wait(ranks_of->start_reduce_scatter(x.tensor(), Traffic::gradients));
      const Owned sum = summed(dtype, count);
      const int64_t begin = ranks().rank() * part;
      for (int64_t i = begin; i < begin + part; ++i) ASSERT_EQ(x.at(i), sum.at(i)) << i;
    }
}

TEST(AllGather, GivesAllPartsToEveryRank) {
  const auto ranks_of = communicator();
  for (DType dtype : {DType::f32, DType::f64, DType::bf16, DType::i32, DType::i64})
    for (int64_t part : {0, 1, 3, 1000, 70001}) {
      SCOPED_TRACE(::testing::Message() << dtype_name(dtype) << " " << part);
      Owned x = filled(dtype, part * ranks().size(), ranks().rank());
      ranks_of->wait(ranks_of->start_all_gather(x.tensor(), Traffic::weights));
      for (int r = 0; r < ranks().size(); ++r) {
        const Owned theirs = filled(dtype, x.count, r);
        for (int64_t i = r * part; i < (r + 1) * part; ++i) ASSERT_EQ(x.at(i), theirs.at(i)) << i;
      }
    }
}

TEST(Broadcast, GivesTheElementsOfOneRankToAll) {
  const auto ranks_of = communicator();
  for (DType dtype : {DType::f32, DType::f64, DType::bf16, DType::i32})
    for (int root = 0; root < ranks().size(); ++root)
      for (int64_t count : {0, 1, 70001}) {
        Owned x = filled(dtype, count, ranks().rank());
        ranks_of->wait(ranks_of->start_broadcast(x.tensor(), root, Traffic::weights));
        ASSERT_TRUE(x.bytes == filled(dtype, count, root).bytes) << dtype_name(dtype) << " " << count << " of " << root;
      }
}

TEST(Collectives, MaySpanSeveralPieces) {
  const auto ranks_of = communicator();
  Owned x = filled(DType::f32, kThreePieces, ranks().rank());
  ranks_of->all_reduce(x.tensor(), Traffic::gradients);
  ASSERT_TRUE(x.bytes == summed(DType::f32, x.count).bytes);

  const int64_t part = kThreePieces / ranks().size();
  Owned y = filled(DType::f32, part * ranks().size(), ranks().rank());
  ranks_of->wait(ranks_of->start_reduce_scatter(y.tensor(), Traffic::gradients));
  ranks_of->wait(ranks_of->start_all_gather(y.tensor(), Traffic::weights));
  ASSERT_TRUE(y.bytes == summed(DType::f32, y.count).bytes);
}

// Large and small reductions and gathers may run at the same time and be waited for in any order.
TEST(Collectives, MayOverlap) {
  const auto ranks_of = communicator();
  const int n = ranks().size();
  const std::vector<int64_t> counts = {50000, 3, kThreePieces, 60000, 1, 200003, 90000, 70000};
  std::vector<Owned> reduced;
  for (int64_t count : counts) reduced.push_back(filled(DType::f32, count, ranks().rank()));
  Owned scattered = filled(DType::f32, 30000 * n, ranks().rank()),
        gathered = filled(DType::i32, 40000 * n, ranks().rank());

  std::vector<Communicator::Ticket> tickets;
  for (size_t i = 0; i < reduced.size(); ++i) {
    tickets.push_back(ranks_of->start_all_reduce(reduced[i].tensor(), Traffic::gradients));
    if (i == 1) tickets.push_back(ranks_of->start_reduce_scatter(scattered.tensor(), Traffic::gradients));
    if (i == 4) tickets.push_back(ranks_of->start_all_gather(gathered.tensor(), Traffic::weights));
  }
  EXPECT_TRUE(std::is_sorted(tickets.begin(), tickets.end()));
  ranks_of->wait(tickets[3]);  // waits for the first reduction too
  ASSERT_TRUE(reduced[0].bytes == summed(DType::f32, counts[0]).bytes);
  ranks_of->wait(tickets[9]);
  ranks_of->wait(tickets[6]);
  ranks_of->wait(tickets[0]);
  for (size_t i = 0; i < counts.size(); ++i) ASSERT_TRUE(reduced[i].bytes == summed(DType::f32, counts[i]).bytes) << i;
  for (int r = 0; r < n; ++r)
    EXPECT_EQ(gathered.at(r * 40000 + 7), filled(DType::i32, gathered.count, r).at(r * 40000 + 7));
  const Owned sum = summed(DType::f32, scattered.count);
  const int64_t own = 30000 * ranks().rank();
  for (int64_t i = own; i < own + 30000; ++i) ASSERT_EQ(scattered.at(i), sum.at(i));
}

// The ranks arrive at different times, in changing order, so that a collective has begun on some ranks and not on
// others.
TEST(Collectives, WorkWhenRanksArriveAtDifferentTimes) {
  const auto ranks_of = communicator();
  const int n = ranks().size();
  const Rng delays(7, static_cast<uint64_t>(ranks().rank())), sizes(7, 1000);
  const std::vector<int64_t> counts = {3, 20000, 100, 150000, 40001};
  std::vector<Owned> sums;
  for (int64_t count : counts) sums.push_back(summed(DType::f32, count * n));
  for (uint64_t round = 0; round < 40; ++round) {
    std::vector<Owned> tensors;
    std::vector<size_t> which;
    std::vector<Communicator::Ticket> tickets;
    for (uint64_t i = 0; i < 6; ++i) {
      which.push_back(sizes.below(round * 6 + i, counts.size()));
      tensors.push_back(filled(DType::f32, counts[which.back()] * n, ranks().rank()));
    }
    for (uint64_t i = 0; i < 6; ++i) {
      const Tensor x = tensors[i].tensor();
      std::this_thread::sleep_for(std::chrono::microseconds(delays.below(round * 6 + i, 800)));
      if (i % 3 == 1) {
        ranks_of->wait(ranks_of->start_reduce_scatter(x, Traffic::gradients));
        tickets.push_back(ranks_of->start_all_gather(x, Traffic::weights));
      } else {
        tickets.push_back(ranks_of->start_all_reduce(x, Traffic::gradients));
      }
    }
    ranks_of->wait(tickets.back());
    for (size_t i = 0; i < 6; ++i) ASSERT_TRUE(tensors[i].bytes == sums[which[i]].bytes) << round << " " << i;
  }
}

// On some ranks the small reduction ends long before the large one, which was started first.
TEST(Collectives, MayOvertakeEachOther) {
  const auto ranks_of = communicator();
  const Rng delays(8, static_cast<uint64_t>(ranks().rank()));
  const Owned large = filled(DType::f32, 1000000, ranks().rank()), small = filled(DType::f32, 10000, ranks().rank());
  const Owned large_sum = summed(DType::f32, large.count), small_sum = summed(DType::f32, small.count);
  for (uint64_t round = 0; round < 30; ++round) {
    Owned x = large, y = small;
    ranks_of->start_all_reduce(x.tensor(), Traffic::gradients);
    const auto ticket = ranks_of->start_all_reduce(y.tensor(), Traffic::gradients);
    std::this_thread::sleep_for(std::chrono::microseconds(delays.below(round, 1000)));
    ranks_of->wait(ticket);
    ASSERT_TRUE(x.bytes == large_sum.bytes && y.bytes == small_sum.bytes) << round;
  }
}

TEST(Collectives, CountTheBytesTheyMove) {
  const auto ranks_of = communicator();
  const int n = ranks().size();
  Owned x = filled(DType::f32, 1200 * n, ranks().rank());
  ranks_of->all_reduce(x.tensor(), Traffic::balance);
  ranks_of->all_reduce(x.tensor(), Traffic::balance);
  ranks_of->wait(ranks_of->start_all_gather(x.tensor(), Traffic::weights));
  ranks_of->wait(ranks_of->start_reduce_scatter(x.tensor(), Traffic::gradients));
  const TrafficCosts costs = ranks_of->costs();
  const int64_t bytes = 4800 * n;
  const TrafficCost& balance = costs[static_cast<size_t>(Traffic::balance)];
  EXPECT_EQ(balance.calls, 2);
  EXPECT_EQ(balance.bytes, 2 * all_reduce_bytes(bytes, n));
  EXPECT_EQ(balance.seconds > 0, n > 1);
  EXPECT_EQ(costs[static_cast<size_t>(Traffic::weights)].bytes, 4800 * (n - 1));
  EXPECT_EQ(costs[static_cast<size_t>(Traffic::gradients)].bytes, 4800 * (n - 1));
  EXPECT_EQ(costs[static_cast<size_t>(Traffic::reports)].calls, 0);
}

TEST(Collectives, WorkOnTwoCommunicatorsAtOnce) {
  const auto one = communicator(), other = communicator();
  Owned x = filled(DType::f32, 50000, ranks().rank()), y = filled(DType::f64, 50000, ranks().rank());
  const auto first = one->start_all_reduce(x.tensor(), Traffic::gradients);
  other->all_reduce(y.tensor(), Traffic::reports);
  one->wait(first);
  EXPECT_TRUE(x.bytes == summed(DType::f32, x.count).bytes);
  EXPECT_TRUE(y.bytes == summed(DType::f64, y.count).bytes);
}

// Lowers the limit on elements per MPI call, since tensors beyond the real limit are too large for a test.
TEST(Collectives, SplitWhatOneMpiCallCannotCount) {
  if (ranks().size() == 1) GTEST_SKIP() << "no MPI";
  Activity activity;
  MpiCommunicator ranks_of(MPI_COMM_WORLD, activity, 4000);
  const int n = ranks().size();
  Owned x = filled(DType::f32, 12800 * n, ranks().rank());
  ranks_of.wait(ranks_of.start_reduce_scatter(x.tensor(), Traffic::gradients));
  ranks_of.wait(ranks_of.start_all_gather(x.tensor(), Traffic::weights));
  EXPECT_TRUE(x.bytes == summed(DType::f32, x.count).bytes);
  Owned odd = filled(DType::f32, 4001 * n, ranks().rank());
  EXPECT_NE(
      message<Failure>([&] { ranks_of.start_all_gather(odd.tensor(), Traffic::weights); }).find("multiples of 16"),
      std::string::npos);
}

}  // namespace
}  // namespace gptmoe
