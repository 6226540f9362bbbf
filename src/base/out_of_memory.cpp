#include "base/out_of_memory.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <new>

namespace gptmoe {
namespace {

std::terminate_handler former_handler;
thread_local bool refused = false;  // whether operator new has failed in this thread

// operator new calls this when it fails.
void note_refusal() {
  refused = true;
  throw std::bad_alloc();
}

bool ends_for_lack_of_memory() {
  try {
    if (const std::exception_ptr error = std::current_exception()) std::rethrow_exception(error);
  } catch (const std::bad_alloc&) {
    return true;
  } catch (...) {
    return false;
  }
  // Some noexcept functions of the standard library, such as those of std::filesystem::path, end the program without
  // catching the exception first.
  return refused && std::uncaught_exceptions() > 0;
}

[[noreturn]] void end_program() {
  if (ends_for_lack_of_memory()) {
    std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, kNoMemory);
    _exit(1);
  }
  former_handler();
  _exit(1);
}

// Runs before the constructors of all static objects, since CLI11 has static objects that allocate.
[[gnu::constructor(101)]] void set_handlers() {
  former_handler = std::set_terminate(end_program);
  std::set_new_handler(note_refusal);
}

}  // namespace

const char* const kNoMemory =
    "not enough memory: the system refused an allocation; free some, or raise the limit of this process";

}  // namespace gptmoe
