#include "base/command_line.h"

#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/check.h"
#include "base/nearest_word.h"

namespace gptmoe {
namespace {

// The help of `app` if `name` is empty, else of its subcommand `name`, which must exist.
std::string help_of(const CLI::App& app, const std::string& name) {
  const CLI::App* command = name.empty() ? &app : app.get_subcommand(name);
  return app.get_formatter()->make_help(command, name.empty() ? app.get_name() : app.get_name() + " " + name,
                                        CLI::AppFormatMode::Normal);
}

std::string unknown_command(const CLI::App& app, const std::string& program, const std::string& name) {
  const std::string nearest = nearest_word(name, command_names(app));
  return text("unknown subcommand \"", name, "\"; ", nearest.empty() ? "" : "did you mean \"" + nearest + "\"? ",
              "see ", program, " --help");
}

// Lists the arguments in `left`. If the first option among them is unknown, also names the nearest known option. (Known
// options can be left over after "--".)
std::string unexpected_arguments(const std::vector<std::string>& left, const CLI::App& command) {
  std::string all = left.size() == 1 ? "unexpected argument:" : "unexpected arguments:";
  for (const std::string& argument : left) all += " " + argument;
  std::vector<std::string> known;
  for (const CLI::Option* option : command.get_options())
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  for (const std::string& argument : left) {
    if (!argument.starts_with("--")) continue;
    const std::string name = argument.substr(0, argument.find('=')), nearest = nearest_word(name, known);
    return nearest.empty() || nearest == name ? all : text(all, " (did you mean ", nearest, "?)");
  }
  return all;
}

}  // namespace

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    if (!command->get_group().empty()) names.push_back(command->get_name());
  return names;
}

void add_help_command(CLI::App& app, const std::string& program) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("help", "Describe the program, or one of its subcommands");
  command->add_option("subcommand", *name, "The subcommand to describe");
  command->callback([&app, program, name] {
    const std::vector<std::string> known = command_names(app);
    const bool is_known = name->empty() || std::find(known.begin(), known.end(), *name) != known.end();
    if (!is_known) user_error(unknown_command(app, program, *name));
    std::printf("%s", help_of(app, *name).c_str());
  });
}

std::string describe(const CLI::App& app, const std::string& program, const CLI::ParseError& error) {
  const CLI::App* command = &app;
  std::string name = program;
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().front();
    name += " " + command->get_name();
  }
  const std::vector<std::string> left = app.remaining(true);
  const bool extras = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError);
  const bool required = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::RequiredError);
  if (required && !left.empty() && !left.front().starts_with('-') && !command_names(*command).empty())
    return unknown_command(*command, name, left.front());
  const bool option_left =
      std::any_of(left.begin(), left.end(), [](const auto& word) { return word.starts_with('-'); });
  const bool first = extras || (required && option_left);
  return text(first ? unexpected_arguments(left, *command) : error.what(), "; see ", name, " --help");
}

}  // namespace gptmoe
