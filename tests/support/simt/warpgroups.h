#pragma once
// The warpgroups of a block: their products by wgmma and their registers. A warp computes its 16 rows of a product when
// all its lanes have arrived. The other warps of its warpgroup may be ahead or behind.
#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include "simt/async_proxy.h"
#include "simt/hopper.h"
#include "simt/matrix_descriptor.h"
#include "simt/runtime.h"

namespace simt {

class Warpgroups {
 public:
  Warpgroups(AsyncProxy& proxy, int threads);

  // For a whole warp. `operands` holds 32 Wgmma.
  void multiply(int warp, void* const operands[kWarpSize]);
  void fence(int warp);
  void commit(int warp);
  void wait(int warp, int groups);

  // The two steps of setmaxnreg. All lanes of a warp together call set_registers(). A warp that needs more registers
  // then waits until take_registers() returns true.
  void set_registers(int warp, int count, bool more);
  bool take_registers(int warp, int count);
  int free_registers() const { return free_registers_; }

  // Throws KernelError if a warp has not executed an instruction that another warp of its warpgroup executed, or if a
  // product is under way.
  void end() const;

 private:
  static constexpr int kWarps = 4;  // of a warpgroup

  // Sums in registers that a product under way writes.
  struct Sums {
    std::array<float*, kWarpSize> registers;
    int n;
    int products;               // under way
    std::vector<float> values;  // lane by lane
  };
  struct Unit {
    size_t offset;
    std::array<std::byte, 16> contents;
  };
  struct Product {
    const float* sums;                                        // the first lane's registers
    std::vector<Unit> units;                                  // what it read of shared memory
    std::array<const uint32_t*, kWarpSize> a_registers = {};  // null: A is in shared memory
    std::array<std::array<uint32_t, 4>, kWarpSize> a_values = {};
  };
  struct Warp {
    bool fenced = false;
    std::vector<Product> open;
    std::deque<std::vector<Product>> groups;
    std::vector<Sums> sums;
    size_t steps = 0;  // the number of its warpgroup's instructions that it has executed
    int registers = 0, register_steps = 0;
  };
  struct Step {
    const char* name;
    uint64_t a = 0, b = 0, shape = 0;
    bool operator==(const Step&) const = default;
  };

  // Notes an instruction of `warp`. Throws unless all warps of the warpgroup execute the same instructions.
  void step(int warp, const Step& step);
  // Reads for `warp` rows [first, first + rows.size()) of A or columns of B.
  void read(int warp, Product& product, const MatrixDescriptor& descriptor, bool mn_major, size_t first,
            std::vector<std::array<float, 16>>& rows);
  void complete(Warp& warp, const Product& product);

  AsyncProxy& proxy_;
  std::vector<Warp> warps_;
  std::vector<std::vector<Step>> steps_;  // by warpgroup
  int free_registers_ = 0;
};

}  // namespace simt
