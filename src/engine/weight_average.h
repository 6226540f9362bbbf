#pragma once
// An exponential moving average of the weights (train.weight_ema), kept beside them.
#include "memory/param_table.h"
#include "memory/pass.h"

namespace gptmoe {

class WeightAverage {
 public:
  // With `decay` 0 there is no average, and the functions do nothing.
  explicit WeightAverage(double decay) : decay_(decay) {}

  // Allocates the average of this rank's elements, in stat. allocate() may run again after commit().
  void allocate(Arena& arena, const Partition& partition, DType stat);
  bool present() const { return values_.present(); }

  // average = the weights.
  void start(Ops& ops, const ParamTable& params) const;
  // Uploads the decay that update() uses in step `step`, counted from 1. The first steps use a smaller decay. In them,
  // the average is the mean of the weights after each step so far, so the initial weights do not dominate the average.
  void set_step(Memory& memory, int64_t step) const;
  // average = decay * average + (1 - decay) * weights.
  void update(Ops& ops, const ParamTable& params) const;
  // Exchanges the average and the weights, bit for bit, so that a model computes with the average; a second call
  // undoes it. Other ranks' weights still have to be gathered. Overwrites the gradients.
  void exchange(Ops& ops, const ParamTable& params) const;

  const Tensor& values() const { return values_; }  // laid out as the partition is

 private:
  // Calls visit(average, weights) for each piece of the partition.
  template <typename Visit>
  void for_each_piece(const ParamTable& params, Visit visit) const;

  double decay_;
  Partition partition_;
  Tensor values_, keep_1_;
};

}  // namespace gptmoe
