#pragma once
// The one table of parameters. A row is one tensor of checkpoints and exports, with its Hugging Face name, shape,
// initialiser and weight decay. A block is one or more adjacent rows, so that kernels can take them as a single tensor:
// the query, key and value projections as one (S*D, C), all experts' gates and ups as one (E, 2F, C). Rows drive
// initialisation, the optimizer, checkpoints and tests; blocks drive the kernels.
//
// A bucket consists of the blocks whose gradients are complete at the same moment of a backward pass. Ranks reduce one
// bucket at a time.
//
// If layers compute in less than full precision, the values that they use are rounded from a master copy in stat
// (Ops::statistics_dtype()). Initialisers and checkpoints fill the master, and the optimizer updates it. Rows with
// `stat` set are an exception: layers use the master itself. A forward-only model's master holds only the stat rows.
// With a sharded optimizer, a rank's master holds the stat rows and the rank's part of the others.
#include <cstdint>
#include <string>
#include <vector>

#include "memory/arena.h"
#include "memory/init.h"
#include "memory/partition.h"

namespace gptmoe {

struct ParamSpec {
  std::string name;
  std::vector<int64_t> sizes;
  Init init;
  bool weight_decay = true;
  bool stat = false;  // layers use it in stat
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
  // Every bucket can be cut into `ranks` equal parts.
  explicit ParamTable(DType dtype, int ranks = 1) : dtype_(dtype), ranks_(ranks) {}

  // Add everything before bind(). A block's sizes must hold exactly its rows, all of one dtype, laid out in the given
  // order.
  ParamId add(const ParamSpec& row);
  ParamId add_block(std::vector<int64_t> sizes, const std::vector<ParamSpec>& rows);
  // Ends a bucket and returns its index. The bucket holds the rows that were added since the last call.
  int end_bucket();

  // Points the table at its memory, which arenas allocated. `values` has element_count() elements. The master may be
  // absent if the values are in stat; otherwise it holds the elements in `held`, which include the stat rows. `grads`
  // may be absent. They have element_count() elements, or, with `windows`, those in `held`.
  //
  // With `windows`, the gradients of a bucket are held whole only while a backward pass computes them, in the window of
  // that bucket (ZeRO stage 2). Several buckets may have the same window. A window has at least bucket_count()
  // elements.
  void bind(const Tensor& values, const Tensor& grads, const Tensor& master = {}, const Partition& held = {},
            std::vector<Tensor> windows = {});
  // Fills every row from its initialiser: element i of a row is a pure function of (seed, name, i).
  void initialize(Memory& memory, uint64_t seed) const;

  int64_t element_count() const { return element_count_; }      // storage, with padding between blocks
  int64_t parameter_count() const { return parameter_count_; }  // without padding
  const std::vector<ParamRow>& rows() const { return rows_; }

  // value(): the parameter as layers read it. grad(): the tensor to which layers add its gradient.
  Tensor value(ParamId id) const;
  Tensor grad(ParamId id) const;
  // A row as checkpoints store it: a view of the master if the master holds the whole row, else of the values.
  Tensor row_value(const ParamRow& row) const;
  // All tensors that store the row or a part of it. The first holds all elements; the last is the most precise.
  std::vector<RowPart> row_parts(const ParamRow& row) const;
  Tensor row_grad(const ParamRow& row) const { return row_view(grads_, row); }  // only without windows
  // The row's gradient. With windows, only the parts of it that this rank holds.
  std::vector<Tensor> held_row_grads(const ParamRow& row) const;
  // One row of any tensor laid out like the values (Adam's moments).
  Tensor row_view(const Tensor& storage, const ParamRow& row) const;

  // Consecutive blocks of a bucket, with the padding between them. Either all rows of a segment are stat rows or none
  // are. If none are, the segment's count is a multiple of the number of ranks.
  struct Segment {
    int64_t offset, count;
    bool stat;
    int64_t place;  // the offset in a table that is not cut
  };
  const std::vector<std::vector<Segment>>& buckets() const { return buckets_; }
  int64_t bucket_count(int bucket) const;  // elements of the table's storage
  // Where element `offset` would be in a table that is not cut: the same for any number of ranks.
  int64_t place(int64_t offset) const;

  // Partitions of the table's storage: everything; only the stat rows; or one rank's partition for ZeRO stages 1 and 2
  // (Rajbhandari et al. 2020). partition_of() holds part `rank` of every segment without stat rows. It holds the
  // segments of stat rows whole, since each rank's layers use those rows from the master.
  Partition whole() const;
  Partition stat_rows() const;
  Partition partition_of(int rank) const;

  const Tensor& values() const { return values_; }
  const Tensor& grads() const { return grads_; }  // the sums over micro-batches, as bind() describes them
  // The gradients of a segment, in the memory where layers add to them.
  Tensor segment_grads(int bucket, const Segment& segment) const;
  // The summed gradients of one piece of the partition `held` that bind() received.
  Tensor held_grads(const Partition::Piece& piece) const;
  // The pieces of that partition that are in a segment.
  std::vector<Partition::Piece> held_in(const Segment& segment) const {
    return held_.within(segment.offset, segment.count);
  }
  const Tensor& master() const { return master_; }

 private:
  struct Block {
    std::vector<int64_t> sizes;
    int64_t offset;
    bool stat;
    int bucket;
  };
  const Block& block(ParamId id) const { return blocks_.at(static_cast<size_t>(id.block)); }
  // The part of the master that begins at the table's element `offset`, as a tensor of these sizes; absent if the
  // master does not hold all of it in one piece.
  Tensor master_view(int64_t offset, const std::vector<int64_t>& sizes) const;
  void end_segment();

  DType dtype_;
  int ranks_;
  std::vector<ParamRow> rows_;
  std::vector<Block> blocks_;
  int64_t element_count_ = 0, next_place_ = 0;
  int64_t parameter_count_ = 0;
  std::vector<std::vector<Segment>> buckets_;
  std::vector<Segment> open_bucket_;  // the count of the last segment is not known yet
  Tensor values_, grads_, master_;
  std::vector<Tensor> windows_;  // by bucket
  Partition held_;
};

// A part of `storage` (rank 1) as a tensor of the given sizes.
Tensor view_at(const Tensor& storage, int64_t offset, const std::vector<int64_t>& sizes);

}  // namespace gptmoe
