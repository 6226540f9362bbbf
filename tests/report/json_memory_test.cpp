// JSON values stay valid when an allocation fails while a value is built. This program has its own operator new.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <new>

#include "records/metrics_rows.h"
#include "records/record_json.h"

namespace {

// How many more allocations of this thread succeed before one fails; below 0: all do.
thread_local int64_t allocations_left = -1;

}  // namespace

void* operator new(std::size_t bytes) {
  const bool fails = allocations_left == 0;
  if (allocations_left >= 0) --allocations_left;
  void* memory = fails ? nullptr : std::malloc(bytes == 0 ? 1 : bytes);
  if (!memory) throw std::bad_alloc();
  return memory;
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return std::malloc(bytes == 0 ? 1 : bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace gptmoe {
namespace {

// Calls `build` with each of its allocations failing in turn. Returns how many there are.
int64_t fail_each_allocation(const std::function<nlohmann::ordered_json()>& build) {
  for (int64_t n = 0;; ++n) {
    allocations_left = n;
    try {
      const nlohmann::ordered_json built = build();
      allocations_left = -1;
      return n;
    } catch (const std::bad_alloc&) {
    }
  }
}

TEST(JsonMemory, RecordsSurviveEachFailedAllocation) {
  EvalRow row;
  row.val_loss_by_set = {{"books", 2.5}, {"wiki", 3.5}};
  row.load_balance_loss_by_layer = {1.25, 1.5};
  EXPECT_GT(fail_each_allocation([&] { return record_json(row); }), 10);
  EXPECT_GT(fail_each_allocation([&] { return record_json(TrainRow{}); }), 5);
}

}  // namespace
}  // namespace gptmoe
