// How tools/common.sh looks for packages, with stand-ins for Debian's commands.
#include "support/error_line.h"
#include "support/process.h"

namespace gptmoe::testing {
namespace {

namespace fs = std::filesystem;

class Packages : public ::testing::Test {
 protected:
  void SetUp() override {
    write_program("dpkg-query", R"sh(
case ${*: -1} in
  present) printf 'install ok installed' ;;
  removed) printf 'deinstall ok config-files' ;;
  *) exit 1 ;;
esac)sh");
    write_program("apt-get", R"sh(echo "$@" >> apt_calls)sh");
    be_user(1000);
  }
  void write_program(const std::string& name, const std::string& body) {
    write_text_file(folder_ / name, "#!/bin/bash\n" + body + "\n");
    fs::permissions(folder_ / name, fs::perms::owner_all);
  }
  void be_user(int id) { write_program("id", "echo " + std::to_string(id)); }

  ProcessResult install(const std::string& packages) {
    fs::remove(folder_ / "apt_calls");
    return run(folder_.path(), {"/bin/bash", "-c",
                                "set -euo pipefail; PATH=$PWD:$PATH; source '" + source_folder() +
                                    "/tools/common.sh'; install_packages " + packages + "; echo continues"});
  }
  std::string apt_calls() { return fs::exists(folder_ / "apt_calls") ? read_text_file(folder_ / "apt_calls") : "none"; }

  TemporaryFolder folder_;
};

TEST_F(Packages, PackagesThatArePresentNeedNoRoot) {
  const ProcessResult result = install("present present");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "continues\n");
  EXPECT_EQ(apt_calls(), "none");
}

TEST_F(Packages, WithoutRootTheMissingOnesAreNamed) {
  const ProcessResult result = install("absent present removed");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, "Not root. Install these packages, then run again: sudo apt-get install absent removed\n");
  EXPECT_EQ(apt_calls(), "none");
}

TEST_F(Packages, RootInstallsOnlyTheMissingOnes) {
  be_user(0);
  const ProcessResult result = install("present absent");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(result.out.ends_with("continues\n")) << result.out;
  EXPECT_EQ(apt_calls(), "update -qq\ninstall -y -qq --no-install-recommends absent\n");
  install("present");
  EXPECT_EQ(apt_calls(), "none");
}

TEST_F(Packages, APreparationThatLacksItsTextLeavesNothingBehind) {
  if (!fs::exists(source_folder() + "/build/gptmoe-tokenize")) GTEST_SKIP() << "the script uses build/gptmoe-tokenize";
  for (const char* tool :
       {"dirname", "grep", "mkdir", "rm"})  // the only system programs that the script sees: no bible
    write_program(tool, "PATH=/usr/bin:/bin exec " + std::string(tool) + " \"$@\"");
  const ProcessResult result =
      run(folder_.path(),
          {"/bin/bash", "-c", "PATH=$PWD; source '" + source_folder() + "/tools/prepare_text.sh' --out data/bible"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.err, "Not root. Install these packages, then run again: sudo apt-get install bible-kjv\n");
  EXPECT_FALSE(fs::exists(folder_ / "data"));
}

}  // namespace
}  // namespace gptmoe::testing
