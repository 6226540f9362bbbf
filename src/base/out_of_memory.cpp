#include "base/out_of_memory.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <new>

namespace gptmoe {
namespace {

std::terminate_handler former_handler;

[[noreturn]] void end_program() {
  try {
    if (const std::exception_ptr error = std::current_exception()) std::rethrow_exception(error);
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, kNoMemory);
    _exit(1);
  } catch (...) {
  }
  former_handler();
  _exit(1);
}

// Runs before the constructors of all static objects, since CLI11 has static objects that allocate.
[[gnu::constructor(101)]] void set_handler() { former_handler = std::set_terminate(end_program); }

}  // namespace

const char* const kNoMemory =
    "not enough memory: the system refused an allocation; free some, or raise the limit of this process";

}  // namespace gptmoe
