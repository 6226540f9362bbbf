#include "config/range.h"

#include <cmath>

#include "base/check.h"

namespace gptmoe {

std::string Integers::describe() const {
  if (max == std::numeric_limits<int64_t>::max()) return text("a whole number of at least ", min);
  return text("a whole number from ", min, " to ", max);
}

std::string Numbers::describe() const {
  const bool bounded = std::isfinite(min), limited = std::isfinite(max);
  if (bounded && limited && !open_min && !open_max) return text("a number from ", min, " to ", max);
  std::string out = "a number";
  if (bounded) out += text(open_min ? " above " : " of at least ", min);
  if (bounded && limited) out += " and";
  if (limited) out += text(open_max ? " below " : bounded ? " at most " : " of at most ", max);
  return out;
}

}  // namespace gptmoe
