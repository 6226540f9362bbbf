// gptmoe --version.
#include "base/check.h"
#include "cli/commands.h"
#include "train/build_info.h"

namespace gptmoe {
namespace {

std::string version_and_libraries() {
  const BuildInfo& build = build_info();
  const auto or_none = [](const char* version) { return *version == '\0' ? "none" : version; };
  return text(version_text("gptmoe"), "\nproducts    ", build.products, "\nCUDA        ", or_none(build.cuda),
              "\nNCCL        ", or_none(build.nccl), "\nMPI         ", or_none(build.mpi));
}

}  // namespace

void add_version_option(CLI::App& app) { app.set_version_flag("-V,--version", version_and_libraries); }

}  // namespace gptmoe
