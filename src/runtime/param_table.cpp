#include "runtime/param_table.h"

namespace gptmoe {
namespace {

constexpr int64_t kAlignElements = Arena::kAlignment / 4;  // blocks start on a cache line

int64_t product(const std::vector<int64_t>& sizes) {
  int64_t n = 1;
  for (int64_t size : sizes) n *= size;
  return n;
}

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
  element_count_ = (element_count_ + kAlignElements - 1) / kAlignElements * kAlignElements;
  blocks_.push_back({std::move(sizes), element_count_});
  for (const ParamSpec& spec : rows) {
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

void ParamTable::bind(const Tensor& values, const Tensor& grads) {
  GPTMOE_CHECK(values.has_sizes({element_count_}) && values.dtype() == dtype_);
  GPTMOE_CHECK(!grads.present() || grads.has_sizes({element_count_}));
  values_ = values;
  grads_ = grads;
}

void ParamTable::initialize(uint64_t seed) const {
  for (const ParamRow& row : rows_) initialize_tensor(row_value(row), row.init, seed, row.name);
}

Tensor ParamTable::block_view(const Tensor& storage, ParamId id) const {
  const Block& block = blocks_.at(static_cast<size_t>(id.block));
  return view_at(storage, block.offset, block.sizes);
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
