#pragma once
// What both programs say about their command lines.
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace gptmoe {

// The arguments that `app` and its subcommands left over, in the order in which they were given: "unexpected
// arguments: b.json c". Use it for a CLI::ExtrasError, whose own text lists them in reverse order.
inline std::string unexpected_arguments(const CLI::App& app) {
  const std::vector<std::string> left = app.remaining(true);
  std::string out = left.size() == 1 ? "unexpected argument:" : "unexpected arguments:";
  for (const std::string& argument : left) out += " " + argument;
  return out;
}

}  // namespace gptmoe
