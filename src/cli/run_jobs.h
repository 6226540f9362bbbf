#pragma once
// Several training runs at a time, each a process of its own.
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace gptmoe {

struct TrainJob {
  std::string label;
  std::vector<std::string> arguments;  // of gptmoe
  std::filesystem::path log;           // what it prints is appended here
  int64_t steps = 0;                   // of the whole run
  std::function<int64_t()> steps_done;
  // Whether the job has come to an end, asked when its process ended with an exit code other than 0.
  std::function<bool()> ended_as_it_may;
};

// Runs all of them, `at_once` at a time, in that order. Each has its share of the cores among as many as run beside
// each other (unless OMP_NUM_THREADS says otherwise), and of the GPUs. Shows how they go on a terminal. False: SIGINT
// or SIGTERM came, and all that ran have saved and ended. Where one fails the others are ended likewise; then throws
// Failure with its last words.
bool run_jobs(const std::vector<TrainJob>& jobs, int at_once);

}  // namespace gptmoe
