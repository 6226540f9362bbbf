// The sources of our class agree with the program.
#include "huggingface/modeling_files.h"

#include <gtest/gtest.h>

#include "routing/router_table.h"

namespace gptmoe::testing {
namespace {

TEST(ModelingFiles, KnowEveryRouter) {
  std::string list;
  for (const std::string& name : router_names()) list += (list.empty() ? "\"" : ", \"") + name + "\"";
  EXPECT_NE(std::string(kConfigurationSource).find("\nROUTERS = (" + list + ")\n"), std::string::npos)
      << "ROUTERS in configuration_gptmoe.py must be (" << list << ")";
}

}  // namespace
}  // namespace gptmoe::testing
