#pragma once
// The one table of parameters. A row is one tensor as checkpoints and exports know it (Hugging Face name, shape,
// initialiser, weight decay). A block is one or more rows that lie next to each other, so that kernels can take them as
// a single tensor: the query, key and value projections as one (S*D, C), all experts' gates and ups as one (E, 2F, C).
// Rows drive initialisation, checkpoints and tests; blocks drive the kernels and the optimizer.
//
// Where layers compute in less than full precision, the values they are handed are rounded from a master in stat, which
// initialisers and checkpoints fill and the optimizer moves. Layers are handed the master itself of rows that ask for
// it; a forward-only model has no other master.
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
  bool stat = false;  // layers compute with it in stat
};

struct ParamRow : ParamSpec {
  int64_t offset = 0;  // elements from the start of the parameters (and of the gradients)
  int64_t count = 0;
  int64_t stat_offset = 0;  // of a stat row: among the stat rows alone
};

struct ParamId {
  int block = -1;
};

class ParamTable {
 public:
  explicit ParamTable(DType dtype) : dtype_(dtype) {}

  // Both before bind(). A block's sizes must hold exactly its rows, all of one dtype; they are laid out in the order
  // given.
  ParamId add(const ParamSpec& row);
  ParamId add_block(std::vector<int64_t> sizes, const std::vector<ParamSpec>& rows);

  // Points the table at its memory: one tensor of element_count() each, as allocated by arenas. Gradients may be
  // absent. So may the master where the values are in stat already; that of a forward-only model has stat_count().
  void bind(const Tensor& values, const Tensor& grads, const Tensor& master = {});
  // Fills every row from its initialiser: element i of a row is a pure function of (seed, name, i).
  void initialize(Memory& memory, uint64_t seed) const;

  int64_t element_count() const { return element_count_; }      // storage, with padding between blocks
  int64_t parameter_count() const { return parameter_count_; }  // without
  int64_t stat_count() const { return stat_count_; }            // of stat rows alone, with padding
  const std::vector<ParamRow>& rows() const { return rows_; }

  // As layers take it.
  Tensor value(ParamId id) const;
  Tensor grad(ParamId id) const;
  // As checkpoints know it: of the master where there is one.
  Tensor row_value(const ParamRow& row) const { return row_copies(row).back(); }
  // Everything that holds the row's value; the most precise last.
  std::vector<Tensor> row_copies(const ParamRow& row) const;
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
  const Tensor& master() const { return master_; }

 private:
  struct Block {
    std::vector<int64_t> sizes;
    int64_t offset, stat_offset;
    bool stat;
  };
  const Block& block(ParamId id) const { return blocks_.at(static_cast<size_t>(id.block)); }
  // Where the master holds what has these offsets.
  int64_t master_offset(int64_t offset, int64_t stat_offset) const { return whole_master() ? offset : stat_offset; }
  bool whole_master() const { return master_.count() == element_count_; }

  DType dtype_;
  std::vector<ParamRow> rows_;
  std::vector<Block> blocks_;
  int64_t element_count_ = 0;
  int64_t parameter_count_ = 0;
  int64_t stat_count_ = 0;
  Tensor values_, grads_, master_;
};

// A part of `storage` (rank 1) as a tensor of the given sizes.
Tensor view_at(const Tensor& storage, int64_t offset, const std::vector<int64_t>& sizes);

}  // namespace gptmoe
