#pragma once
// Help and error messages about the command lines of both programs.
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace gptmoe {

// The names of the subcommands of `app` that its help lists.
std::vector<std::string> command_names(const CLI::App& app);

// Adds "help [SUBCOMMAND]", which prints what --help prints. `program` is the program's name in messages.
void add_help_command(CLI::App& app, const std::string& program);

// Describes in one line what is wrong with the command line of `program`, and which help to read. `error` is the error
// that app.parse() threw. Unexpected arguments keep their order, and the line suggests the nearest known option or
// subcommand: "unexpected arguments: b.json --ot c (did you mean --out?); see gptmoe train --help". If an option is
// unknown and a required one is missing, the line is about the unknown one.
std::string describe(const CLI::App& app, const std::string& program, const CLI::ParseError& error);

}  // namespace gptmoe
