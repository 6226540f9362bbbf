// The program that tests/distributed/ranks_test.cpp starts on several ranks:
//   distributed_ranks [--ranks N] [GoogleTest's options]   the tests of this folder, on every rank
//   distributed_ranks [--ranks N] --fault NAME             a job with a fault, or with what might look like one
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/check.h"
#include "cli/job.h"
#include "distributed/ranks/ranks.h"

namespace gptmoe {
namespace {

constexpr unsigned kSeconds = 300;  // after this time a rank that hangs ends by itself

Job* the_job = nullptr;

int run(Job& job, int argc, char** argv) {
  std::string fault;
  int count = 0;
  for (int i = 1; i + 1 < argc; ++i) {
    if (argv[i] == std::string("--fault")) fault = argv[i + 1];
    if (argv[i] == std::string("--ranks")) count = std::atoi(argv[i + 1]);
  }
  if (job.launched(count)) return job.exit_code();
  alarm(kSeconds);
  if (!fault.empty()) {
    act_out(fault, job.world());
    return 0;
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

}  // namespace

World& ranks() { return the_job->world(); }

}  // namespace gptmoe

int main(int argc, char** argv) {
  gptmoe::Job job(argv);
  gptmoe::the_job = &job;
  try {
    return gptmoe::run(job, argc, argv);
  } catch (const gptmoe::UserError& error) {
    return job.fail(2, error);
  } catch (const std::exception& error) {
    return job.fail(1, error);
  }
}
