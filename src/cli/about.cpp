// gptmoe --version and gptmoe help.
#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/check.h"
#include "cli/commands.h"
#include "config/nearest_word.h"
#include "train/build_info.h"

namespace gptmoe {
namespace {

std::string version_and_libraries() {
  const BuildInfo& build = build_info();
  const auto or_none = [](const char* version) { return *version == '\0' ? "none" : version; };
  return text(version_text("gptmoe"), "\nproducts    ", build.products, "\nCUDA        ", or_none(build.cuda),
              "\nNCCL        ", or_none(build.nccl), "\nMPI         ", or_none(build.mpi));
}

// The help of `app`, or of its subcommand `name`, which must be one.
std::string help_of(const CLI::App& app, const std::string& name) {
  const CLI::App* command = name.empty() ? &app : app.get_subcommand(name);
  return app.get_formatter()->make_help(command, name.empty() ? app.get_name() : app.get_name() + " " + name,
                                        CLI::AppFormatMode::Normal);
}

}  // namespace

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  return names;
}

std::string unknown_command(const CLI::App& app, const std::string& name) {
  const std::string nearest = nearest_word(name, command_names(app));
  return text("unknown subcommand \"", name, "\"; ", nearest.empty() ? "" : "did you mean \"" + nearest + "\"? ",
              "see gptmoe --help");
}

void add_version_option(CLI::App& app) { app.set_version_flag("-V,--version", version_and_libraries); }

void add_help_command(CLI::App& app) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("help", "Describe the program, or one of its subcommands");
  command->add_option("subcommand", *name, "The subcommand to describe");
  command->callback([&app, name] {
    const std::vector<std::string> known = command_names(app);
    const bool is_known = name->empty() || std::find(known.begin(), known.end(), *name) != known.end();
    if (!is_known) user_error(unknown_command(app, *name));
    std::printf("%s", help_of(app, *name).c_str());
  });
}

}  // namespace gptmoe
