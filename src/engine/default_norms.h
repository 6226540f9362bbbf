#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "base/memory.h"
#include "memory/state_table.h"

namespace gptmoe {

// Euclidean norms of several vectors.
struct VectorNorms {
  double mean = 0, max = 0;
};

// The default vectors (E, C) of each MoE layer that has them, first layer first.
std::vector<Tensor> default_vectors(const StateTable& state);

// The norms of a model's default vectors at the time of take().
class DefaultNorms {
 public:
  // `state` is allocated from `memory`; both must outlive the object.
  DefaultNorms(const StateTable& state, Memory& memory);

  // Queues a copy of the vectors behind the work that is already queued on the memory's backend.
  void take();
  // The norms in the latest copy, over all layers and experts; waits for the copy. Absent if there was no take() since
  // the last call, or if the model has no default vectors.
  std::optional<VectorNorms> norms();

 private:
  std::vector<Tensor> layers_EC_;
  std::vector<std::unique_ptr<Snapshot>> copies_;
  bool taken_ = false;  // since the last norms()
};

}  // namespace gptmoe
