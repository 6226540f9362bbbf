// Runs the tests that adapt to the number of ranks on two and on four ranks. Every rank is a process with its own
// simulated GPU.
#ifdef GPTMOE_MPI
#include "support/process.h"
#include "support/temporary_folder.h"
#include "support/test_folders.h"

namespace gptmoe::testing {
namespace {

void pass_on(int ranks, const std::string& tests) {
  TemporaryFolder folder;
  const std::string launch =
      "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 "
      "OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1 ASAN_OPTIONS=detect_leaks=0 exec timeout "
      "300 mpirun -n ";
  const ProcessResult result = run(folder.path(), {"/bin/sh", "-c",
                                                   launch + std::to_string(ranks) + " '" + build_folder() +
                                                       "/test_simt' --gtest_brief=1 --gtest_filter='" + tests + "'"});
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
  for (int rank = 0; rank < ranks; ++rank)
    EXPECT_NE(result.out.find(text("rank ", rank, " of ", ranks, "\n")), std::string::npos) << result.out;
  size_t passed = 0;
  for (size_t at = 0; (at = result.out.find("[  PASSED  ]", at)) != std::string::npos; ++at) ++passed;
  EXPECT_EQ(passed, static_cast<size_t>(ranks)) << result.out << result.err;
}

#ifdef GPTMOE_ASAN  // one case is enough here, and AddressSanitizer is slow
constexpr const char* kTraining = "*/NcclTraining.*/default_bf16_zero";
#else
constexpr const char* kTraining = "*/NcclTraining.Gives*:*/NcclTraining.*_zero";
#endif

TEST(NcclRanks, Two) { pass_on(2, text("Nccl.*:", kTraining)); }
TEST(NcclRanks, Four) { pass_on(4, "Nccl.*:*/NcclTraining.Gives*/default_bf16_zero"); }

}  // namespace
}  // namespace gptmoe::testing
#endif
