#pragma once
// Bulk copies that are under way in a block.
#include <deque>
#include <map>
#include <vector>

#include "simt/async_proxy.h"
#include "simt/mbarriers.h"
#include "simt/tensor_map.h"

namespace simt {

class BulkCopies {
 public:
  BulkCopies(AsyncProxy& proxy, Mbarriers& barriers) : proxy_(proxy), barriers_(barriers) {}

  void load(void* to, const void* from, uint32_t bytes, void* barrier);
  void load(void* to, const TensorMap& map, const TensorMap::Place& at, void* barrier);
  void store(const TensorMap& map, const TensorMap::Place& at, const void* from);
  void commit();
  void wait_read(int groups);

  bool any_load() const { return !loads_.empty(); }
  // Completes one of the loads that are under way, chosen at random.
  void complete_one();
  // Throws KernelError if anything is under way.
  void end() const;

 private:
  struct Load {
    size_t to = 0;
    uint32_t bytes = 0;
    void* barrier = nullptr;
    const std::byte* from = nullptr;  // null: a box
    TensorMap map = {};
    TensorMap::Place at = {};
    int thread = 0;
  };
  struct Store {
    TensorMap map;
    TensorMap::Place at;
    size_t from;
    std::vector<std::byte> contents;  // of shared memory when the store was issued
  };
  struct Stores {
    std::vector<Store> open;
    std::deque<std::vector<Store>> groups;
  };
  void start(const Load& load);
  void complete(const Load& load);
  void complete(const Store& store);

  AsyncProxy& proxy_;
  Mbarriers& barriers_;
  std::vector<Load> loads_;
  std::map<int, Stores> stores_;  // by thread
};

}  // namespace simt
