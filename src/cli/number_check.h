#pragma once
#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "base/check.h"

namespace gptmoe {

// Checks that an option is a whole number in a range. CLI11's own checks would print the largest double as an upper
// limit.
inline CLI::Validator whole_number(int64_t least, int64_t most = std::numeric_limits<int64_t>::max()) {
  const bool open = most == std::numeric_limits<int64_t>::max();
  const std::string range = open ? text(least, " or more") : text(least, " to ", most);
  const auto check = [=](std::string& input) {
    int64_t value = 0;
    const char* end = input.data() + input.size();
    const auto [stop, error] = std::from_chars(input.data(), end, value);
    const bool whole = stop == end && error == std::errc();
    if (whole && value >= least && value <= most) return std::string();
    return text("must be ", whole ? "" : "a whole number, ", range, ", not ", input);
  };
  return {check, open ? text("{", least, ",...}") : text("{", least, ",...,", most, "}")};
}

// Checks that an option is a finite number in a range. CLI::Range accepts NaN.
inline CLI::Validator number(double least, double most) {
  const auto check = [=](std::string& input) {
    double value = 0;
    const char* end = input.data() + input.size();
    const auto [stop, error] = std::from_chars(input.data(), end, value);
    const bool valid = stop == end && error == std::errc();
    if (valid && value >= least && value <= most) return std::string();
    return text("must be ", valid && !std::isnan(value) ? "" : "a number, ", least, " to ", most, ", not ", input);
  };
  return {check, text("[", least, " to ", most, "]")};
}

}  // namespace gptmoe
