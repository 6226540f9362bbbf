#include "memory/state_table.h"

#include <algorithm>

namespace gptmoe {

StateId StateTable::add(std::string name, DType dtype, std::vector<int64_t> sizes, bool persistent) {
  GPTMOE_CHECK(sizes.size() == 1 || sizes.size() == 2, name);
  rows_.push_back({std::move(name), dtype, std::move(sizes), persistent, {}});
  return {static_cast<int>(rows_.size()) - 1};
}

StateId StateTable::find(const std::string& name) const {
  GPTMOE_CHECK(contains(name), "no state ", name);
  return {static_cast<int>(std::ranges::find(rows_, name, &StateRow::name) - rows_.begin())};
}

bool StateTable::contains(const std::string& name) const {
  return std::ranges::find(rows_, name, &StateRow::name) != rows_.end();
}

void StateTable::allocate(Arena& arena) {
  for (StateRow& row : rows_)
    row.value = row.sizes.size() == 1 ? arena.allocate(row.dtype, {row.sizes[0]})
                                      : arena.allocate(row.dtype, {row.sizes[0], row.sizes[1]});
}

}  // namespace gptmoe
