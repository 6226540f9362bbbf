#pragma once
// The one table of parameters. A row is one tensor as checkpoints and exports know it (Hugging Face name, shape,
// initialiser, weight decay). A block is one or more rows that lie next to each other, so that kernels can take them as
// a single tensor: the query, key and value projections as one (S*D, C), all experts' gates and ups as one (E, 2F, C).
// Rows drive initialisation, checkpoints and tests; blocks drive the kernels and the optimizer.
#include <cstdint>
#include <string>
#include <vector>

#include "base/arena.h"
#include "runtime/init.h"

namespace gptmoe {

struct ParamSpec {
  std::string name;
  std::vector<int64_t> sizes;
  Init init;
  bool weight_decay = true;
};

struct ParamRow : ParamSpec {
  int64_t offset = 0;  // elements from the start of the parameters (and of the gradients)
  int64_t count = 0;
};

struct ParamId {
  int block = -1;
};

class ParamTable {
 public:
  explicit ParamTable(DType dtype) : dtype_(dtype) {}

  // Both before bind(). A block's sizes must hold exactly its rows; they are laid out in the order given.
  ParamId add(const ParamSpec& row);
  ParamId add_block(std::vector<int64_t> sizes, const std::vector<ParamSpec>& rows);

  // Points the table at its memory: one tensor of element_count() each, as allocated by arenas. Gradients may be
  // absent.
  void bind(const Tensor& values, const Tensor& grads);
  // Fills every row from its initialiser: element i of a row is a pure function of (seed, name, i).
  void initialize(uint64_t seed) const;

  int64_t element_count() const { return element_count_; }      // storage, with padding between blocks
  int64_t parameter_count() const { return parameter_count_; }  // without
  const std::vector<ParamRow>& rows() const { return rows_; }

  Tensor value(ParamId id) const { return block_view(values_, id); }
  Tensor grad(ParamId id) const { return block_view(grads_, id); }
  Tensor row_value(const ParamRow& row) const { return row_view(values_, row); }
  Tensor row_grad(const ParamRow& row) const { return row_view(grads_, row); }
  // One row of any tensor laid out like the values (Adam's moments).
  Tensor row_view(const Tensor& storage, const ParamRow& row) const;

  // Ranges of equal weight decay, merged over neighbouring rows (and the padding between them): what the optimizer
  // walks.
  struct Range {
    int64_t offset, count;
    bool weight_decay;
  };
  std::vector<Range> decay_ranges() const;

  const Tensor& values() const { return values_; }
  const Tensor& grads() const { return grads_; }

 private:
  struct Block {
    std::vector<int64_t> sizes;
    int64_t offset;
  };
  Tensor block_view(const Tensor& storage, ParamId id) const;

  DType dtype_;
  std::vector<ParamRow> rows_;
  std::vector<Block> blocks_;
  int64_t element_count_ = 0;
  int64_t parameter_count_ = 0;
  Tensor values_, grads_;
};

// A part of `storage` (rank 1) as a tensor of the given sizes.
Tensor view_at(const Tensor& storage, int64_t offset, const std::vector<int64_t>& sizes);

}  // namespace gptmoe
