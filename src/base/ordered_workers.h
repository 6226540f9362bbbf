#pragma once
// Work on a sequence by several threads, as if one had done it.
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace gptmoe {

// Threads take items, work on them side by side and deliver the results in the order of the items:
//   take()                -> std::optional<Item>; nothing ends the sequence; never called by two threads at once
//   weight(item)          -> int64_t, what the item holds in memory until it is delivered
//   work(thread, item)    -> Result; `thread` in [0, threads) is running one call only
//   deliver(result)       ; never called by two threads at once, in the order of take()
// Items taken and not yet delivered weigh at most `max_weight` together, or are a single item. What take(), work() or
// deliver() throws ends the run: results of earlier items are delivered, then the exception of the first item in the
// sequence is thrown to the caller. So neither results nor errors depend on the number of threads.
// With one thread everything runs on the caller's.
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
        deliver_(std::move(deliver)) {}

  void run(int threads) {
    std::vector<std::jthread> others;
    for (int thread = 1; thread < threads; ++thread) others.emplace_back([this, thread] { loop(thread); });
    loop(0);
    others.clear();  // joins
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  struct Done {
    int64_t weight;
    std::variant<Result, std::exception_ptr> outcome;
  };

  void loop(int thread) {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return ended_ || (!taking_ && (in_flight_ == 0 || weight_in_flight_ < max_weight_)); });
      if (ended_) return;
      taking_ = true;
      lock.unlock();
      std::optional<Item> item;
      std::exception_ptr error;
      try {
        item = take_();
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      taking_ = false;
      if (!item) ended_ = true;
      if (!item && !error) {
        changed_.notify_all();
        return;
      }
      const int64_t sequence = taken_++;
      const int64_t weight = item ? weight_(*item) : 0;
      ++in_flight_;
      weight_in_flight_ += weight;
      changed_.notify_all();
      if (item) {
        lock.unlock();
        finish(lock, sequence, weight, attempt(thread, std::move(*item)));
      } else {
        lock.unlock();
        finish(lock, sequence, weight, error);
      }
    }
  }

  std::variant<Result, std::exception_ptr> attempt(int thread, Item item) {
    try {
      return work_(thread, std::move(item));
    } catch (...) {
      return std::current_exception();
    }
  }

  // Leaves `lock` held.
  void finish(std::unique_lock<std::mutex>& lock, int64_t sequence, int64_t weight,
              std::variant<Result, std::exception_ptr> outcome) {
    lock.lock();
    done_.emplace(sequence, Done{weight, std::move(outcome)});
    if (delivering_) return;
    delivering_ = true;
    while (!failure_ && !done_.empty() && done_.begin()->first == delivered_) {
      Done next = std::move(done_.begin()->second);
      done_.erase(done_.begin());
      ++delivered_;
      std::exception_ptr error;
      if (auto* thrown = std::get_if<std::exception_ptr>(&next.outcome)) {
        error = *thrown;
      } else {
        lock.unlock();
        try {
          deliver_(std::move(std::get<Result>(next.outcome)));
        } catch (...) {
          error = std::current_exception();
        }
        lock.lock();
      }
      --in_flight_;
      weight_in_flight_ -= next.weight;
      if (error) {
        failure_ = error;
        ended_ = true;
      }
      changed_.notify_all();
    }
    delivering_ = false;
  }

  int64_t max_weight_;
  Take take_;
  Weight weight_;
  Work work_;
  Deliver deliver_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool taking_ = false, delivering_ = false, ended_ = false;
  int64_t taken_ = 0, delivered_ = 0, in_flight_ = 0, weight_in_flight_ = 0;
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
