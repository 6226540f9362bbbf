#pragma once
#include <gtest/gtest.h>

#include <string>

#include "base/check.h"
#include "base/file.h"
#include "support/temporary_folder.h"

namespace gptmoe {

// Returns the message of the UserError that `action` throws; expects it to be a single line.
template <typename Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const UserError& error) {
    const std::string line = error.what();
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
    return line;
  }
  return "no error";
}

inline void expect_contains(const std::string& line, const std::string& part) {
  EXPECT_NE(line.find(part), std::string::npos) << "\"" << line << "\" lacks \"" << part << "\"";
}

}  // namespace gptmoe
