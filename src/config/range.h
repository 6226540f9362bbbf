#pragma once
#include <cstdint>
#include <limits>
#include <string>

namespace gptmoe {

// The whole numbers from `min` to `max`.
struct Integers {
  int64_t min = 0;
  int64_t max = std::numeric_limits<int64_t>::max();

  bool contains(int64_t value) const { return min <= value && value <= max; }
  std::string describe() const;  // "a whole number from 1 to 9"
};

// The numbers from `min` to `max`; an open end is excluded.
struct Numbers {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool open_min = false, open_max = false;

  bool contains(double value) const {
    return (open_min ? min < value : min <= value) && (open_max ? value < max : value <= max);
  }
  std::string describe() const;  // "a number above 0"
};

}  // namespace gptmoe
