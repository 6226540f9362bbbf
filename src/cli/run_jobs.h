#pragma once
// Several training runs at a time, each in its own process.
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace gptmoe {

struct TrainJob {
  std::string label;
  std::vector<std::string> arguments;  // of gptmoe
  std::filesystem::path log;           // its output is appended here
  std::filesystem::path run;           // its run directory
  int64_t steps = 0;                   // of the whole run
  // Whether the job counts as finished although its process ended with an exit code other than 0.
  std::function<bool()> ended_as_it_may;
};

// Runs all jobs in order, `at_once` at a time. The jobs that run share the cores (unless OMP_NUM_THREADS is set) and
// the GPUs equally. Shows a table of the running jobs on a terminal, and prints the last figures of each job that ends.
// Returns 0, or the stop signal after all running jobs have saved and ended. If a job fails, lets the others save and
// end too, and throws Failure with the last line of its log.
int run_jobs(const std::vector<TrainJob>& jobs, int at_once);

// How many of `at_once` jobs share one GPU of this machine; `at_once` if it has none.
int jobs_per_gpu(int at_once);

}  // namespace gptmoe
