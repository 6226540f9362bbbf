#pragma once
#include <string>

#include "base/tensor.h"

namespace gptmoe {

struct Init {
  enum class Kind { zeros, ones, normal };
  Kind kind = Kind::zeros;
  double std = 0;

  static Init zeros() { return {}; }
  static Init ones() { return {Kind::ones, 0}; }
  static Init normal(double std) { return {Kind::normal, std}; }
};

// x =: element i is a pure function of (seed, name, i), whatever the dtype (values are rounded to float first, so that
// a double-precision model starts from the same weights).
void initialize_tensor(const Tensor& x, const Init& init, uint64_t seed, const std::string& name);

}  // namespace gptmoe
