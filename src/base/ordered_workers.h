#pragma once
// Processes a sequence of items on several threads, with the same result as on one thread.
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"

namespace gptmoe {

// Threads take items, process them in parallel and deliver the results in the order of the items:
//   take() -> std::optional<Item>; an empty optional ends the sequence
//   weight(item) -> int64_t >= 0, memory that the item holds until it is delivered
//   work(thread, item) -> Result; each `thread` in [0, threads) runs one call at a time
//   deliver(result), in the order of take()
// No two threads call take() at once, and no two call deliver() at once.
// No item is taken while the undelivered items weigh `max_weight` or more, so undelivered items never weigh more than
// `max_weight` plus one item. An exception in take(), weight(), work() or deliver() ends the run: results of earlier
// items are delivered, then the exception of the first item in the sequence is thrown to the caller. So neither results
// nor errors depend on the number of threads. With one thread, everything runs on the calling thread. Throws Failure if
// the system cannot start the threads.
template <typename Take, typename Weight, typename Work, typename Deliver>
class OrderedWorkers {
  using Item = typename std::invoke_result_t<Take>::value_type;
  using Result = std::invoke_result_t<Work, int, Item>;

 public:
  OrderedWorkers(int64_t max_weight, Take take, Weight weight, Work work, Deliver deliver)
      : max_weight_(max_weight),
        take_(std::move(take)),
        weight_(std::move(weight)),
        work_(std::move(work)),
        deliver_(std::move(deliver)) {
    GPTMOE_CHECK(max_weight > 0);
  }

  void run(int threads) {
    std::vector<std::jthread> others;
    try {
      for (int thread = 1; thread < threads; ++thread) others.emplace_back([this, thread] { loop(thread); });
    } catch (const std::system_error& error) {
      end();
      throw Failure(text("cannot start ", threads, " threads: ", error.code().message()));
    } catch (...) {  // not enough memory
      end();
      throw;
    }
    loop(0);
    others.clear();  // joins the threads
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  using Outcome = std::variant<Result, std::exception_ptr>;
  struct Done {
    int64_t weight;
    Outcome outcome;
  };

  void loop(int thread) {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return ended_ || (!taking_ && weight_in_flight_ < max_weight_); });
      if (ended_) return;
      taking_ = true;
      lock.unlock();
      std::optional<Item> item;
      std::exception_ptr error;
      int64_t weight = 0;
      try {
        item = take_();
        if (item) weight = weight_(*item);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      taking_ = false;
      ended_ = ended_ || !item || error;
      const int64_t sequence = taken_;
      if (item || error) {
        ++taken_;
        weight_in_flight_ += weight;
      }
      changed_.notify_all();
      if (!item && !error) return;
      lock.unlock();
      Outcome outcome = error ? Outcome(error) : attempt(thread, std::move(*item));
      item.reset();
      lock.lock();
      done_.emplace(sequence, Done{weight, std::move(outcome)});
      deliver_in_turn(lock);
    }
  }

  Outcome attempt(int thread, Item item) {
    try {
      return work_(thread, std::move(item));
    } catch (...) {
      return std::current_exception();
    }
  }

  // Delivers the results whose turn has come, unless another thread is delivering: that thread then delivers this
  // result too. The lock is held on entry and on return, but not while delivering.
  void deliver_in_turn(std::unique_lock<std::mutex>& lock) {
    if (delivering_) return;
    delivering_ = true;
    while (!failure_ && !done_.empty() && done_.begin()->first == delivered_) {
      const int64_t weight = done_.begin()->second.weight;
      Outcome outcome = std::move(done_.begin()->second.outcome);
      done_.erase(done_.begin());
      lock.unlock();
      std::exception_ptr error = deliver(std::move(outcome));
      lock.lock();
      ++delivered_;
      weight_in_flight_ -= weight;
      failure_ = error;
      ended_ = ended_ || error;
      changed_.notify_all();
    }
    delivering_ = false;
  }

  std::exception_ptr deliver(Outcome outcome) {
    if (auto* thrown = std::get_if<std::exception_ptr>(&outcome)) return *thrown;
    try {
      deliver_(std::move(std::get<Result>(outcome)));
      return nullptr;
    } catch (...) {
      return std::current_exception();
    }
  }

  void end() {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }

  int64_t max_weight_;
  Take take_;
  Weight weight_;
  Work work_;
  Deliver deliver_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool taking_ = false, delivering_ = false, ended_ = false;
  int64_t taken_ = 0, delivered_ = 0, weight_in_flight_ = 0;
  std::map<int64_t, Done> done_;  // results waiting for their turn
  std::exception_ptr failure_;
};

template <typename Take, typename Weight, typename Work, typename Deliver>
void run_ordered(int threads, int64_t max_weight, Take take, Weight weight, Work work, Deliver deliver) {
  OrderedWorkers<Take, Weight, Work, Deliver>(max_weight, std::move(take), std::move(weight), std::move(work),
                                              std::move(deliver))
      .run(threads);
}

}  // namespace gptmoe
