#pragma once
#include <mpi.h>

#include <string>

#include "base/check.h"

namespace gptmoe {

[[noreturn]] inline void throw_mpi_error(int code, const char* expression, const char* file, int line) {
  char reason[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, reason, &length);
  throw Failure(text(file, ":", line, ": ", expression, ": ", reason));
}

}  // namespace gptmoe

// If an MPI call fails, throws a Failure with the call, its file and line, and MPI's reason. Needs MPI_ERRORS_RETURN,
// which MpiWorld sets and communicators inherit.
#define MPI_CHECK(call)                                                                                              \
  do {                                                                                                               \
    if (const int code_ = (call); code_ != MPI_SUCCESS) ::gptmoe::throw_mpi_error(code_, #call, __FILE__, __LINE__); \
  } while (0)
