#pragma once
// Tensors that training changes without gradients and that a checkpoint must hold: default vectors and their pending
// sums, balancing biases. It is to routers what ParamTable is to layers.
#include <string>
#include <vector>

#include "memory/arena.h"

namespace gptmoe {

struct StateRow {
  std::string name;  // as in checkpoints: "model.layers.3.mlp.default_vectors"
  DType dtype;
  std::vector<int64_t> sizes;
  bool persistent;  // in checkpoints; rows that are zero between steps need not be
  Tensor value;
};

struct StateId {
  int row = -1;
};

class StateTable {
 public:
  // Before allocate(); rank 1 or 2.
  StateId add(std::string name, DType dtype, std::vector<int64_t> sizes, bool persistent = true);
  // The existing row of that name: for state that layers share.
  StateId find(const std::string& name) const;
  bool contains(const std::string& name) const;
  // Allocates every row from the arena, zero once the arena is committed. May run again after commit().
  void allocate(Arena& arena);

  const StateRow& row(StateId id) const { return rows_.at(static_cast<size_t>(id.row)); }
  const Tensor& value(StateId id) const { return row(id).value; }
  const std::vector<StateRow>& rows() const { return rows_; }

 private:
  std::vector<StateRow> rows_;
};

}  // namespace gptmoe
