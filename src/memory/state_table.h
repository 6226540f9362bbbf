#pragma once
// The tensors of the routers' state, such as default vectors, their pending sums, and balancing biases. Training
// changes this state without gradients. Routers declare their rows here, just as layers declare parameters in
// ParamTable.
#include <string>
#include <vector>

#include "memory/arena.h"

namespace gptmoe {

struct StateRow {
  std::string name;  // as in checkpoints: "model.layers.3.mlp.default_vectors"
  DType dtype;
  std::vector<int64_t> sizes;
  bool persistent;  // saved in checkpoints; a row that is always zero between steps need not be persistent
  Tensor value;
};

struct StateId {
  int row = -1;
};

class StateTable {
 public:
  // Declares a row, a tensor with one or two dimensions. Call it before allocate().
  StateId add(std::string name, DType dtype, std::vector<int64_t> sizes, bool persistent = true);
  // The row with this name, for state that layers share. There must be one.
  StateId find(const std::string& name) const;
  bool contains(const std::string& name) const;
  // Allocates every row from the arena. After the arena's commit(), the rows are zero, and allocate() may be called
  // again.
  void allocate(Arena& arena);

  const StateRow& row(StateId id) const { return rows_.at(static_cast<size_t>(id.row)); }
  const Tensor& value(StateId id) const { return row(id).value; }
  const std::vector<StateRow>& rows() const { return rows_; }

 private:
  std::vector<StateRow> rows_;
};

}  // namespace gptmoe
