#include "memory/param_table.h"

#include <utility>

#include "kernels/block_code.h"

namespace gptmoe {
namespace {

// Blocks start on a cache line, and where a block of 8-bit codes may start.
constexpr int64_t kAlignElements = kBlockElements;
static_assert(kAlignElements * 2 % Arena::kAlignment == 0);

int64_t product(const std::vector<int64_t>& sizes) {
  int64_t n = 1;
  for (int64_t size : sizes) n *= size;
  return n;
}

int64_t round_up(int64_t count, int64_t multiple) { return (count + multiple - 1) / multiple * multiple; }

}  // namespace

Tensor view_at(const Tensor& storage, int64_t offset, const std::vector<int64_t>& sizes) {
  const Tensor part = storage.rows(offset, product(sizes));
  switch (sizes.size()) {
    case 1: return part.view({sizes[0]});
    case 2: return part.view({sizes[0], sizes[1]});
    case 3: return part.view({sizes[0], sizes[1], sizes[2]});
    default: GPTMOE_CHECK(false, "a view of rank ", sizes.size()); return {};
  }
}

ParamId ParamTable::add(const ParamSpec& row) { return add_block(row.sizes, {row}); }

ParamId ParamTable::add_block(std::vector<int64_t> sizes, const std::vector<ParamSpec>& rows) {
  GPTMOE_CHECK(!values_.present(), "rows are added before bind()");
  const bool stat = rows.front().stat;
  if (!open_bucket_.empty() && open_bucket_.back().stat != stat) end_segment();
  element_count_ = round_up(element_count_, kAlignElements);
  if (open_bucket_.empty() || open_bucket_.back().stat != stat) open_bucket_.push_back({element_count_, 0, stat, 0});
  blocks_.push_back({std::move(sizes), element_count_, stat, static_cast<int>(buckets_.size())});
  for (const ParamSpec& spec : rows) {
    GPTMOE_CHECK(spec.stat == stat, spec.name);
    ParamRow row;
    static_cast<ParamSpec&>(row) = spec;
    row.offset = element_count_;
    row.count = product(spec.sizes);
    element_count_ += row.count;
    parameter_count_ += row.count;
    rows_.push_back(std::move(row));
  }
  const Block& block = blocks_.back();
  GPTMOE_CHECK(block.offset + product(block.sizes) == element_count_, "block of ", rows.front().name);
  return {static_cast<int>(blocks_.size()) - 1};
}

void ParamTable::end_segment() {
  Segment& segment = open_bucket_.back();
  segment.place = next_place_;
  next_place_ += round_up(element_count_ - segment.offset, kAlignElements);
  segment.count = round_up(element_count_ - segment.offset, kAlignElements * (segment.stat ? 1 : ranks_));
  element_count_ = segment.offset + segment.count;
}

int ParamTable::end_bucket() {
  GPTMOE_CHECK(!open_bucket_.empty());
  end_segment();
  buckets_.push_back(std::exchange(open_bucket_, {}));
  return static_cast<int>(buckets_.size()) - 1;
}

void ParamTable::bind(const Tensor& values, const Tensor& grads, const Tensor& master, const Partition& held,
                      std::vector<Tensor> windows) {
  GPTMOE_CHECK(values.has_sizes({element_count_}) && values.dtype() == dtype_);
  GPTMOE_CHECK(!grads.present() || grads.has_sizes({windows.empty() ? element_count_ : held.count()}));
  GPTMOE_CHECK(windows.empty() || windows.size() == buckets_.size());
  GPTMOE_CHECK(!master.present() || master.has_sizes({held.count()}));
  values_ = values;
  grads_ = grads;
  master_ = master;
  held_ = held;
  windows_ = std::move(windows);
}

int64_t ParamTable::place(int64_t offset) const {
  for (const std::vector<Segment>& bucket : buckets_)
    for (const Segment& segment : bucket)
      if (segment.offset <= offset && offset < segment.offset + segment.count)
        return segment.place + offset - segment.offset;
  return offset;
}

int64_t ParamTable::bucket_count(int bucket) const {
  const std::vector<Segment>& segments = buckets_.at(static_cast<size_t>(bucket));
  return segments.back().offset + segments.back().count - segments.front().offset;
}

Tensor ParamTable::segment_grads(int bucket, const Segment& segment) const {
  if (windows_.empty()) return grads_.rows(segment.offset, segment.count);
  const int64_t start = buckets_.at(static_cast<size_t>(bucket)).front().offset;
  return windows_.at(static_cast<size_t>(bucket)).rows(segment.offset - start, segment.count);
}

Tensor ParamTable::held_grads(const Partition::Piece& piece) const {
  return grads_.rows(windows_.empty() ? piece.offset : piece.at, piece.count);
}

std::vector<Tensor> ParamTable::held_row_grads(const ParamRow& row) const {
  if (windows_.empty()) return {row_grad(row)};
  std::vector<Tensor> parts;
  for (const Partition::Piece& piece : held_.within(row.offset, row.count)) parts.push_back(held_grads(piece));
  return parts;
}

void ParamTable::initialize(Memory& memory, uint64_t seed) const {
  for (const ParamRow& row : rows_) initialize_row(memory, row_parts(row), row.count, row.init, seed, row.name);
}

Tensor ParamTable::value(ParamId id) const {
  const Block& b = block(id);
  if (!b.stat || !master_.present()) return view_at(values_, b.offset, b.sizes);
  const Tensor master = master_view(b.offset, b.sizes);
  GPTMOE_CHECK(master.present(), "a master without stat rows");
  return master;
}

Tensor ParamTable::grad(ParamId id) const {
  const Block& b = block(id);
  if (windows_.empty()) return view_at(grads_, b.offset, b.sizes);
  const auto bucket = static_cast<size_t>(b.bucket);
  return view_at(windows_.at(bucket), b.offset - buckets_.at(bucket).front().offset, b.sizes);
}

Tensor ParamTable::master_view(int64_t offset, const std::vector<int64_t>& sizes) const {
  if (!master_.present()) return {};
  const std::vector<Partition::Piece> held = held_.within(offset, product(sizes));
  if (held.size() != 1 || held[0].count != product(sizes)) return {};
  return view_at(master_, held[0].at, sizes);
}

Tensor ParamTable::row_value(const ParamRow& row) const {
  const Tensor master = master_view(row.offset, row.sizes);
  return master.present() ? master : row_view(values_, row);
}

std::vector<RowPart> ParamTable::row_parts(const ParamRow& row) const {
  std::vector<RowPart> parts = {{values_.rows(row.offset, row.count), 0}};
  if (!master_.present()) return parts;
  for (const Partition::Piece& piece : held_.within(row.offset, row.count))
    parts.push_back({master_.rows(piece.at, piece.count), piece.offset - row.offset});
  return parts;
}

Tensor ParamTable::row_view(const Tensor& storage, const ParamRow& row) const {
  return view_at(storage, row.offset, row.sizes);
}

Partition ParamTable::whole() const {
  Partition partition;
  partition.add(0, element_count_, true);
  return partition;
}

Partition ParamTable::stat_rows() const {
  Partition partition;
  for (const Block& block : blocks_)
    if (block.stat) partition.add(block.offset, round_up(product(block.sizes), kAlignElements), true);
  return partition;
}

Partition ParamTable::partition_of(int rank) const {
  GPTMOE_CHECK(open_bucket_.empty(), "a bucket is not ended");
  Partition partition;
  for (const std::vector<Segment>& bucket : buckets_)
    for (const Segment& segment : bucket) {
      const int64_t count = segment.count / (segment.stat ? 1 : ranks_);
      partition.add(segment.offset + (segment.stat ? 0 : rank * count), count, segment.stat);
    }
  return partition;
}

}  // namespace gptmoe
