#pragma once
#include <gtest/gtest.h>

#include <string>

namespace gptmoe {

// Returns the message of the Error that `action` throws; the test fails if nothing is thrown.
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
