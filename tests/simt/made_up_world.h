#pragma once
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "distributed/world.h"

namespace gptmoe::testing {

// One of several ranks, all on this machine. A function makes up the other ranks' answers from the rank and the number
// of the exchange.
class MadeUpWorld final : public World {
 public:
  using Answers = std::function<std::string(int rank, int exchange)>;
  MadeUpWorld(int rank, int size, Answers answers) : rank_(rank), size_(size), answers_(std::move(answers)) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const override { return rank_; }
  int local_size() const override { return size_; }
  std::vector<std::string> all_gather(const std::string& mine) override {
    std::vector<std::string> all;
    for (int rank = 0; rank < size_; ++rank) all.push_back(rank == rank_ ? mine : answers_(rank, exchanges));
    ++exchanges;
    return all;
  }
  std::string from_root(const std::string& mine) override { return mine; }
  const std::string& host(int) const override { return host_; }
  std::unique_ptr<Communicator> make_host_communicator() override { return make_counting_communicator(size_); }

  void barrier() override {}
  void watch(double, double) override {}
  void tick() override {}
  void set_probe(std::function<void()>) override {}
  void waits_in(const char*) override {}
  void sum(std::span<double>) override {}
  bool any(bool mine) override { return mine; }
  void send_to_root(const void*, int64_t) override {}
  void receive_at_root(void*, int64_t, int) override {}
  void abort(int exit_code) override { std::exit(exit_code); }

  int exchanges = 0;

 private:
  int rank_, size_;
  std::string host_ = "here";
  Answers answers_;
};

}  // namespace gptmoe::testing
