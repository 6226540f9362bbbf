#include "base/ordered_workers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>

namespace gptmoe {
namespace {

// Yields 0 to end - 1.
struct Counter {
  int end;
  int next = 0;
  std::optional<int> operator()() { return next < end ? std::optional(next++) : std::nullopt; }
};

int64_t weight_one(int) { return 1; }

// Returns what run_ordered() delivers. If it throws std::runtime_error, stores the message in *error.
template <typename Take, typename Work>
std::vector<int> delivered(int threads, Take take, Work work, std::string* error = nullptr) {
  std::vector<int> out;
  try {
    run_ordered(threads, 16, std::move(take), weight_one, std::move(work), [&](int result) { out.push_back(result); });
    if (error) *error = "none";
  } catch (const std::runtime_error& thrown) {
    if (!error) throw;
    *error = thrown.what();
  }
  return out;
}

std::vector<int> first(int count) {
  std::vector<int> out;
  for (int i = 0; i < count; ++i) out.push_back(i);
  return out;
}

// Lets some items take longer than others.
void dawdle(int item) {
  for (int i = 0; i < item * 7919 % 97; ++i) std::this_thread::yield();
}

TEST(OrderedWorkers, DeliversInOrderWithAnyNumberOfThreads) {
  for (int threads : {1, 2, 3, 8, 40}) {
    const auto work = [](int, int item) {
      dawdle(item);
      return item;
    };
    EXPECT_EQ(delivered(threads, Counter{1000}, work), first(1000)) << threads;
    EXPECT_EQ(delivered(threads, Counter{0}, work), first(0)) << threads;
    EXPECT_EQ(delivered(threads, Counter{1}, work), first(1)) << threads;
  }
}

TEST(OrderedWorkers, OneThreadMeansTheCallersThread) {
  const auto here = std::this_thread::get_id();
  run_ordered(
      1, 1, Counter{5}, weight_one,
      [&](int thread, int item) {
        EXPECT_EQ(thread, 0);
        EXPECT_EQ(std::this_thread::get_id(), here);
        return item;
      },
      [&](int) { EXPECT_EQ(std::this_thread::get_id(), here); });
}

TEST(OrderedWorkers, TakesAndDeliversOneItemAtATimeAndEachThreadWorksOnOne) {
  std::atomic<int> taking = 0, delivering = 0;
  std::array<std::atomic<int>, 4> working{};
  run_ordered(
      4, 8,
      [&, counter = Counter{500}]() mutable {
        EXPECT_EQ(taking++, 0);
        auto item = counter();
        std::this_thread::yield();
        --taking;
        return item;
      },
      weight_one,
      [&](int thread, int item) {
        EXPECT_EQ(working[static_cast<size_t>(thread)]++, 0);
        dawdle(item);
        --working[static_cast<size_t>(thread)];
        return item;
      },
      [&](int) {
        EXPECT_EQ(delivering++, 0);
        std::this_thread::yield();
        --delivering;
      });
}

TEST(OrderedWorkers, UsesEveryThread) {
  std::latch all(3);  // opens when three threads work at the same time
  std::set<int> delivered;
  run_ordered(
      3, 100, Counter{3}, weight_one,
      [&](int thread, int) {
        all.arrive_and_wait();
        return thread;
      },
      [&](int thread) { delivered.insert(thread); });
  EXPECT_EQ(delivered, (std::set<int>{0, 1, 2}));
}

TEST(OrderedWorkers, TakesNoItemWhileTheLimitIsReached) {
  for (int threads : {1, 2, 6}) {
    std::atomic<int64_t> held = 0, most = 0;
    run_ordered(
        threads, 100,
        [&, counter = Counter{300}]() mutable {
          EXPECT_LT(held, 100);
          const auto item = counter();
          if (item) most = std::max<int64_t>(most, held += *item % 60);
          return item;
        },
        [](int item) -> int64_t { return item % 60; },
        [](int, int item) {
          dawdle(item);
          return item;
        },
        [&](int item) { held -= item % 60; });
    EXPECT_EQ(held, 0);
    EXPECT_LT(most, 100 + 60);
  }
}

TEST(OrderedWorkers, AnItemHeavierThanTheLimitIsProcessedAlone) {
  std::atomic<int> held = 0;
  run_ordered(
      4, 10,
      [&, counter = Counter{20}]() mutable {
        EXPECT_EQ(held, 0);
        const auto item = counter();
        held += item.has_value();
        return item;
      },
      [](int) -> int64_t { return 1000; }, [](int, int item) { return item; }, [&](int) { --held; });
}

TEST(OrderedWorkers, AnErrorComesAfterTheResultsOfEarlierItems) {
  std::string error;
  for (int threads : {1, 2, 5}) {
    const auto pass = [](int, int item) {
      dawdle(item);
      return item;
    };
    const auto take = [counter = Counter{100}]() mutable {
      if (counter.next == 30) throw std::runtime_error("taking 30");
      return counter();
    };
    EXPECT_EQ(delivered(threads, take, pass, &error), first(30)) << threads;
    EXPECT_EQ(error, "taking 30");

    const auto work = [&](int thread, int item) {
      if (item >= 20) throw std::runtime_error("working on " + std::to_string(item));
      return pass(thread, item);
    };
    EXPECT_EQ(delivered(threads, Counter{100}, work, &error), first(20)) << threads;
    EXPECT_EQ(error, "working on 20");

    int last = -1;
    const auto deliver = [&](int item) {
      if (item == 10) throw std::runtime_error("delivering 10");
      last = item;
    };
    EXPECT_THROW(run_ordered(threads, 16, Counter{100}, weight_one, pass, deliver), std::runtime_error);
    EXPECT_EQ(last, 9);

    const auto weigh = [](int item) -> int64_t { return item < 5 ? 1 : throw std::runtime_error("weighing"); };
    last = -1;
    EXPECT_THROW(run_ordered(threads, 16, Counter{100}, weigh, pass, [&](int item) { last = item; }),
                 std::runtime_error);
    EXPECT_EQ(last, 4);
  }
}

TEST(OrderedWorkers, ThrowsTheErrorOfTheEarliestItemNotTheEarliestError) {
  std::latch later_failed(1);
  const auto work = [&](int, int item) -> int {
    if (item == 1) {
      later_failed.count_down();
      throw std::runtime_error("second");
    }
    later_failed.wait();
    throw std::runtime_error("first");
  };
  std::string error;
  EXPECT_EQ(delivered(2, Counter{2}, work, &error), first(0));
  EXPECT_EQ(error, "first");
}

TEST(OrderedWorkers, ItemsAndResultsNeedNotBeCopied) {
  std::vector<int> out;
  run_ordered(
      3, 8,
      [counter = Counter{50}]() mutable -> std::optional<std::unique_ptr<int>> {
        const auto item = counter();
        if (!item) return std::nullopt;
        return std::make_unique<int>(*item);
      },
      [](const std::unique_ptr<int>&) -> int64_t { return 1; }, [](int, std::unique_ptr<int> item) { return item; },
      [&](std::unique_ptr<int> item) { out.push_back(*item); });
  EXPECT_EQ(out, first(50));
}

}  // namespace
}  // namespace gptmoe
