#include "runtime/param_table.h"

namespace gptmoe {
namespace {

constexpr int64_t kAlignElements = Arena::kAlignment / 4;  // blocks start on a cache line

int64_t product(const std::vector<int64_t>& sizes) {
  int64_t n = 1;
  for (int64_t size : sizes) n *= size;
  return n;
}

int64_t aligned(int64_t offset) { return (offset + kAlignElements - 1) / kAlignElements * kAlignElements; }

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
  element_count_ = aligned(element_count_);
  stat_count_ = aligned(stat_count_);
  blocks_.push_back({std::move(sizes), element_count_, stat_count_, rows.front().stat});
  for (const ParamSpec& spec : rows) {
    GPTMOE_CHECK(spec.stat == rows.front().stat, spec.name);
    ParamRow row;
    static_cast<ParamSpec&>(row) = spec;
    row.offset = element_count_;
    row.stat_offset = stat_count_;
    row.count = product(spec.sizes);
    if (row.stat) stat_count_ += row.count;
    element_count_ += row.count;
    parameter_count_ += row.count;
    rows_.push_back(std::move(row));
  }
  const Block& block = blocks_.back();
  GPTMOE_CHECK(block.offset + product(block.sizes) == element_count_, "block of ", rows.front().name);
  return {static_cast<int>(blocks_.size()) - 1};
}

void ParamTable::bind(const Tensor& values, const Tensor& grads, const Tensor& master) {
  GPTMOE_CHECK(values.has_sizes({element_count_}) && values.dtype() == dtype_);
  GPTMOE_CHECK(!grads.present() || grads.has_sizes({element_count_}));
  GPTMOE_CHECK(!master.present() || master.has_sizes({element_count_}) || master.has_sizes({stat_count_}));
  values_ = values;
  grads_ = grads;
  master_ = master;
}

void ParamTable::initialize(Memory& memory, uint64_t seed) const {
  for (const ParamRow& row : rows_) initialize_tensors(memory, row_copies(row), row.init, seed, row.name);
}

Tensor ParamTable::value(ParamId id) const {
  const Block& b = block(id);
  if (b.stat && master_.present()) return view_at(master_, master_offset(b.offset, b.stat_offset), b.sizes);
  return view_at(values_, b.offset, b.sizes);
}

Tensor ParamTable::grad(ParamId id) const { return view_at(grads_, block(id).offset, block(id).sizes); }

std::vector<Tensor> ParamTable::row_copies(const ParamRow& row) const {
  std::vector<Tensor> copies = {row_view(values_, row)};
  if (master_.present() && (row.stat || whole_master()))
    copies.push_back(view_at(master_, master_offset(row.offset, row.stat_offset), row.sizes));
  return copies;
}

Tensor ParamTable::row_view(const Tensor& storage, const ParamRow& row) const {
  return view_at(storage, row.offset, row.sizes);
}

std::vector<ParamTable::Range> ParamTable::decay_ranges() const {
  std::vector<Range> ranges;
  for (const ParamRow& row : rows_) {
    if (!ranges.empty() && ranges.back().weight_decay == row.weight_decay)
      ranges.back().count = row.offset + row.count - ranges.back().offset;
    else
      ranges.push_back({row.offset, row.count, row.weight_decay});
  }
  return ranges;
}

}  // namespace gptmoe
