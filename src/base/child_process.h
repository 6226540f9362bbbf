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
  std::string output;  // the beginning of its standard output and error, in the order of writing
};

// Runs `program` with `arguments` (without argv[0]) and waits until the process has closed its output and ended. A
// terminal's Ctrl-C does not reach the process, since it has its own process group. Its standard input is empty. After
// `limit` it is killed. If it hangs in a driver, the system cannot end it, and it is left running.
ChildResult run_child(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                      std::chrono::milliseconds limit);

}  // namespace gptmoe
