#pragma once
// Errors. Code throws them, and never prints them or calls exit(). main.cpp catches them, prints them and returns:
//   UserError  exit code 2  bad input: one line naming the place (JSON path, file:byte, tensor) and the remedy; for a
//                           run that does not fit, the table of its memory follows
//   Failure    exit code 1  the machine failed (disk full, ...) or the run failed numerically
//   NumericFailure, a Failure: the run's numbers are no longer finite
//   DeviceError, a Failure: the GPU failed, and nothing that it holds can be used or trusted
//   BugError   exit code 1  a mistake in gptmoe itself, with expression, file and line (GPTMOE_CHECK)
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace gptmoe {

struct UserError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct NumericFailure : Failure {
  using Failure::Failure;
};

struct DeviceError : Failure {
  using Failure::Failure;
};

struct BugError : std::logic_error {
  using std::logic_error::logic_error;
};

// A stream for text. It throws if there is no memory for the text; an ordinary stream would silently drop the rest.
inline std::ostringstream text_stream() {
  std::ostringstream out;
  out.exceptions(std::ios::badbit);
  return out;
}

// All arguments streamed into one string: text("step ", 3) == "step 3".
template <typename... Args>
std::string text(Args&&... args) {
  std::ostringstream out = text_stream();
  (out << ... << std::forward<Args>(args));
  return out.str();
}

template <typename... Args>
[[noreturn]] void user_error(Args&&... args) {
  throw UserError(text(std::forward<Args>(args)...));
}

// The result of `action`. If it throws a UserError, appends "; REMEDY" to the message.
template <typename Action>
auto with_remedy(const std::string& remedy, Action action) {
  try {
    return action();
  } catch (const UserError& error) {
    throw UserError(text(error.what(), "; ", remedy));
  }
}

// Throws BugError unless the condition holds. For mistakes in the program; user_error() is for mistakes in the input.
#define GPTMOE_CHECK(condition, ...)                                                                              \
  do {                                                                                                            \
    if (!(condition))                                                                                             \
      throw ::gptmoe::BugError(                                                                                   \
          ::gptmoe::text(__FILE__, ":", __LINE__, ": check failed: " #condition " " __VA_OPT__(, ) __VA_ARGS__)); \
  } while (0)

}  // namespace gptmoe
