#include <unistd.h>

#include <cstdlib>

#include "base/check.h"
#include "distributed/communicator.h"
#include "distributed/world.h"

namespace gptmoe {
namespace {

// Only counts the traffic of its calls. With one rank there is nothing to move.
class CountingCommunicator final : public Communicator {
 public:
  explicit CountingCommunicator(int size) : size_(size) {}
  int rank() const override { return 0; }
  int size() const override { return size_; }
  Ticket start_all_reduce(const Tensor& x, Traffic traffic) override {
    return count(traffic, all_reduce_bytes(x.bytes(), size_));
  }
  Ticket start_reduce_scatter(const Tensor& x, Traffic traffic) override {
    return count(traffic, reduce_scatter_bytes(x.bytes(), size_));
  }
  Ticket start_all_gather(const Tensor& x, Traffic traffic) override {
    return count(traffic, all_gather_bytes(x.bytes(), size_));
  }
  Ticket start_broadcast(const Tensor& x, int root, Traffic traffic) override {
    return count(traffic, root == 0 && size_ > 1 ? x.bytes() : 0);
  }
  void wait(Ticket) override {}
  TrafficCosts costs() const override { return costs_; }

 private:
  Ticket count(Traffic traffic, int64_t bytes) {
    TrafficCost& cost = costs_[static_cast<size_t>(traffic)];
    ++cost.calls;
    cost.bytes += bytes;
    return 0;
  }

  int size_;
  TrafficCosts costs_;
};

std::string host_name() {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return name;
}

class SingleWorld final : public World {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  int local_rank() const override { return 0; }
  int local_size() const override { return 1; }
  const std::string& host(int) const override { return host_; }
  void barrier() override {}
  std::vector<std::string> all_gather(const std::string& mine) override { return {mine}; }
  std::string from_root(const std::string& mine) override { return mine; }
  void sum(std::span<double>) override {}
  bool any(bool mine) override { return mine; }
  void send_to_root(const void*, int64_t) override { GPTMOE_CHECK(false, "a rank that does not exist"); }
  void receive_at_root(void*, int64_t, int from) override { GPTMOE_CHECK(false, "rank ", from); }
  std::unique_ptr<Communicator> make_host_communicator() override { return make_single_communicator(); }
  void watch(double, double) override {}
  void tick() override {}
  void waits_in(const char*) override {}
  void set_probe(std::function<void()>) override {}
  void abort(int exit_code) override { std::exit(exit_code); }

 private:
  const std::string host_ = host_name();
};

}  // namespace

std::unique_ptr<Communicator> make_single_communicator() { return make_counting_communicator(1); }
std::unique_ptr<Communicator> make_counting_communicator(int size) {
  return std::make_unique<CountingCommunicator>(size);
}
std::unique_ptr<World> make_single_world() { return std::make_unique<SingleWorld>(); }

}  // namespace gptmoe
