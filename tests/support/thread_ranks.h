#pragma once
// Ranks as threads of one process, to test several ranks without a launcher.
#include <algorithm>
#include <barrier>
#include <condition_variable>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/bf16.h"
#include "distributed/world.h"

namespace gptmoe::testing {

// The state that all ranks share. In an exchange every rank publishes, then every rank reads, then all continue.
class ThreadJob {
 public:
  explicit ThreadJob(int size) : size_(size), published_(static_cast<size_t>(size)), barrier_(size) {}
  int size() const { return size_; }

  template <typename Read>
  void exchange(int rank, const void* mine, Read&& read) {
    published_[static_cast<size_t>(rank)] = mine;
    barrier_.arrive_and_wait();
    read(published_);
    barrier_.arrive_and_wait();
  }

  void send(int from, const void* data, int64_t bytes) {
    const std::lock_guard lock(mutex_);
    messages_.emplace(from, std::string(static_cast<const char*>(data), static_cast<size_t>(bytes)));
    arrived_.notify_all();
  }
  void receive(int from, void* data, int64_t bytes) {
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [&] { return messages_.contains(from); });
    const auto first = messages_.lower_bound(from);  // equal keys keep their order
    GPTMOE_CHECK(std::ssize(first->second) == bytes, "a message of ", first->second.size());
    first->second.copy(static_cast<char*>(data), static_cast<size_t>(bytes));
    messages_.erase(first);
  }

 private:
  int size_;
  std::vector<const void*> published_;
  std::barrier<> barrier_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::multimap<int, std::string> messages_;
};

// Runs a collective as late as allowed: when a rank waits for it. So a result that is used too early is wrong.
class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(ThreadJob& job, int rank) : job_(job), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return job_.size(); }

  Ticket start_all_reduce(const Tensor& x, Traffic) override {
    return later([=, this] { sum(x, 0, x.count()); });
  }
  Ticket start_reduce_scatter(const Tensor& x, Traffic) override {
    return later([=, this] { sum(x, part(x) * rank_, part(x)); });
  }
  Ticket start_all_gather(const Tensor& x, Traffic) override {
    return later([=, this] {
      for (int from = 0; from < size(); ++from) take(x, from * part(x), part(x), from);
    });
  }
  Ticket start_broadcast(const Tensor& x, int root, Traffic) override {
    return later([=, this] { take(x, 0, x.count(), root); });
  }
  void wait(Ticket ticket) override {
    for (; done_ <= ticket; ++done_) pending_.at(static_cast<size_t>(done_))();
  }
  TrafficCosts costs() const override { return {}; }
  bool idle() const { return done_ == std::ssize(pending_); }

 private:
  Ticket later(std::function<void()> work) {
    pending_.push_back(std::move(work));
    return std::ssize(pending_) - 1;
  }
  int64_t part(const Tensor& x) const {
    GPTMOE_CHECK(x.count() % size() == 0, x.describe());
    return x.count() / size();
  }
  static double element(DType dtype, const void* data, int64_t i) {
    if (dtype == DType::bf16) return static_cast<double>(bf16_value(static_cast<const uint16_t*>(data)[i]));
    return dtype == DType::f64 ? static_cast<const double*>(data)[i]
                               : static_cast<double>(static_cast<const float*>(data)[i]);
  }
  // Sets elements [first, first + count) of x to their sums over ranks, and overwrites all other elements with garbage.
  void sum(const Tensor& x, int64_t first, int64_t count) {
    std::vector<double> sums(static_cast<size_t>(count));
    job_.exchange(rank_, x.data(), [&](const std::vector<const void*>& ranks) {
      for (const void* data : ranks)
        for (int64_t i = 0; i < count; ++i) sums[static_cast<size_t>(i)] += element(x.dtype(), data, first + i);
    });
    if (count < x.count()) std::fill_n(static_cast<char*>(x.data()), x.bytes(), '\x7f');
    for (int64_t i = 0; i < count; ++i) {
      const double value = sums[static_cast<size_t>(i)];
      if (x.dtype() == DType::bf16)
        static_cast<uint16_t*>(x.data())[first + i] = bf16_bits(static_cast<float>(value));
      else if (x.dtype() == DType::f64)
        x.as<double>()[first + i] = value;
      else
        x.as<float>()[first + i] = static_cast<float>(value);
    }
  }
  void take(const Tensor& x, int64_t first, int64_t count, int from) {
    const int64_t width = dtype_bytes(x.dtype());
    job_.exchange(rank_, x.data(), [&](const std::vector<const void*>& ranks) {
      if (from == rank_) return;
      std::copy_n(static_cast<const char*>(ranks[static_cast<size_t>(from)]) + first * width, count * width,
                  static_cast<char*>(x.data()) + first * width);
    });
  }

  ThreadJob& job_;
  int rank_;
  std::vector<std::function<void()>> pending_;
  Ticket done_ = 0;
};

class ThreadWorld final : public World {
 public:
  ThreadWorld(ThreadJob& job, int rank) : job_(job), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return job_.size(); }
  int local_rank() const override { return rank_; }
  int local_size() const override { return job_.size(); }
  const std::string& host(int) const override {
    static const std::string kHost = "here";
    return kHost;
  }
  void watch(double, double) override {}
  void tick() override {}
  void waits_in(const char*) override {}
  void set_probe(std::function<void()>) override {}
  void barrier() override {
    job_.exchange(rank_, nullptr, [](const auto&) {});
  }
  std::vector<std::string> all_gather(const std::string& mine) override {
    std::vector<std::string> all;
    job_.exchange(rank_, &mine, [&](const std::vector<const void*>& ranks) {
      for (const void* text : ranks) all.push_back(*static_cast<const std::string*>(text));
    });
    return all;
  }
  std::string from_root(const std::string& mine) override { return all_gather(mine)[0]; }
  void sum(std::span<double> values) override {
    const std::vector<double> mine(values.begin(), values.end());
    job_.exchange(rank_, mine.data(), [&](const std::vector<const void*>& ranks) {
      std::fill(values.begin(), values.end(), 0.0);
      for (const void* data : ranks)
        for (size_t i = 0; i < values.size(); ++i) values[i] += static_cast<const double*>(data)[i];
    });
  }
  bool any(bool mine) override {
    double count = mine;
    sum({&count, 1});
    return count > 0;
  }
  void send_to_root(const void* data, int64_t bytes) override { job_.send(rank_, data, bytes); }
  void receive_at_root(void* data, int64_t bytes, int from) override { job_.receive(from, data, bytes); }
  std::unique_ptr<Communicator> make_host_communicator() override {
    return std::make_unique<ThreadCommunicator>(job_, rank_);
  }
  void abort(int) override { std::terminate(); }

 private:
  ThreadJob& job_;
  int rank_;
};

// Calls body(world) on `size` threads, one per rank. An exception in one of them ends the test program, because the
// other ranks would wait for it forever.
template <typename Body>
void run_ranks(int size, Body&& body) {
  ThreadJob job(size);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank)
    threads.emplace_back([&, rank]() noexcept {
      ThreadWorld world(job, rank);
      body(static_cast<World&>(world));
    });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace gptmoe::testing
