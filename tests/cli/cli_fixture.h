#pragma once
#include <sstream>

#include "support/process.h"
#include "support/run_fixture.h"

namespace gptmoe::testing {

// A folder with shards and configs for tiny runs. The program runs in this folder.
class CommandLine : public ::testing::Test {
 protected:
  fs::path folder() const { return files_ / ""; }

  // Writes the run's config as NAME and returns the name.
  std::string write_config(const std::string& name, const nlohmann::json& changes = nlohmann::json::object()) {
    write_text_file(files_ / name, to_json(files_.config(changes)).dump(2));
    return name;
  }
  ProcessResult gptmoe(const std::vector<std::string>& arguments, const ProcessOptions& options = {}) {
    return run_gptmoe(folder(), arguments, options);
  }
  ProcessResult succeed(const std::vector<std::string>& arguments, const ProcessOptions& options = {}) {
    const ProcessResult result = gptmoe(arguments, options);
    if (result.exit_code != 0) throw std::runtime_error(text("exit code ", result.exit_code, ": ", result.err));
    EXPECT_EQ(result.err, "");
    for (const char* control : {"\r", "\033"}) EXPECT_EQ(result.out.find(control), std::string::npos);
    return result;
  }
  // Expects exit code 2 and one line that contains all `parts`; returns the line.
  std::string refuse(const std::vector<std::string>& arguments, const std::vector<std::string>& parts) {
    return fail(gptmoe(arguments), 2, parts);
  }
  static std::string fail(const ProcessResult& result, int exit_code, const std::vector<std::string>& parts) {
    EXPECT_EQ(result.exit_code, exit_code) << result.err << result.out;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_TRUE(result.err.starts_with("gptmoe: ")) << result.err;
    for (const char* control : {"\r", "\033"}) EXPECT_EQ(result.err.find(control), std::string::npos) << result.err;
    for (const std::string& part : parts) expect_contains(result.err, part);
    return result.err;
  }

  RunFolder files_;
};

}  // namespace gptmoe::testing
