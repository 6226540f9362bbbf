// gptmoe: pretraining of GPT-style mixture-of-experts models. Every subcommand is a file in src/cli.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/check.h"
#include "cli/commands.h"

int main(int argc, char** argv) {
  CLI::App app{"gptmoe: pretrain GPT-style mixture-of-experts models from one JSON config"};
  app.require_subcommand(1);
  app.set_version_flag("--version", GPTMOE_VERSION);
  int exit_code = 0;
  gptmoe::add_commands(app, exit_code);
  try {
    app.parse(argc, argv);
    return exit_code;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const gptmoe::UserError& error) {
    std::fprintf(stderr, "gptmoe: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gptmoe: %s\n", error.what());
    return 1;
  }
}
