#pragma once
#include <string>
#include <vector>

#include "base/memory.h"

namespace gptmoe {

struct Init {
  enum class Kind { zeros, ones, normal };
  Kind kind = Kind::zeros;
  double std = 0;

  static Init zeros() { return {}; }
  static Init ones() { return {Kind::ones, 0}; }
  static Init normal(double std) { return {Kind::normal, std}; }
};

// A part of a row, which begins at the row's element `first`. A row may have several copies in different dtypes.
struct RowPart {
  Tensor elements;  // rank 1
  int64_t first = 0;
};

// Initialises all `parts` of a row of `count` elements. Element i is a pure function of (seed, name, i), whatever the
// dtype: values are rounded to float first, so that models of any precision start from the same weights.
void initialize_row(Memory& memory, const std::vector<RowPart>& parts, int64_t count, const Init& init, uint64_t seed,
                    const std::string& name);

}  // namespace gptmoe
