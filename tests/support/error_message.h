#pragma once
#include <gtest/gtest.h>

#include <string>

namespace gptmoe {

// What the Error says that `action` throws; the test fails when nothing is thrown.
template <typename Error, typename Action>
std::string message(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace gptmoe
