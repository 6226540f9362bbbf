#pragma once
// How ranks talk. One rank is the degenerate case, so callers never branch on the number of ranks.
#include <memory>

#include "base/tensor.h"

namespace gptmoe {

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // x = sum of x over ranks, the same bits on every rank.
  virtual void all_reduce_sum(const Tensor& x) = 0;
  // x = mean of x over ranks, likewise.
  virtual void all_reduce_mean(const Tensor& x) = 0;
};

std::unique_ptr<Communicator> make_single_communicator();

}  // namespace gptmoe
