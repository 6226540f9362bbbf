#pragma once
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace gptmoe {

struct ChildResult {
  enum class End {
    exited,       // with exit code `number`
    signalled,    // by signal `number`
    late,         // killed at the limit
    not_started,  // for the system's reason `number` (errno)
  };
  End end;
  int number;
  std::string output;  // the beginning of its standard output and error, in the order in which they were written
};

// Runs `program` with `arguments` (without argv[0]) in a process group of its own, so that a terminal's Ctrl-C does not
// reach it, and waits until it closes its output and ends. Its standard input is empty. After `limit` it is killed. A
// process that the system cannot end even so, such as one that hangs in a driver, is left behind.
ChildResult run_child(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                      std::chrono::milliseconds limit);

}  // namespace gptmoe
