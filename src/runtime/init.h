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

// Every tensor of `copies`, which hold the same values in different dtypes, =: element i is a pure function of
// (seed, name, i), whatever the dtype (values are rounded to float first, so that a model of any precision starts from
// the same weights).
void initialize_tensors(Memory& memory, const std::vector<Tensor>& copies, const Init& init, uint64_t seed,
                        const std::string& name);

}  // namespace gptmoe
