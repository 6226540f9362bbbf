#pragma once
// The commands that the torture test disturbs, each with the files that it needs and what a user runs after a failure.
#include <filesystem>
#include <string>
#include <vector>

namespace gptmoe::torture {

namespace fs = std::filesystem;

using Command = std::vector<std::string>;  // the program's name, then its arguments

struct Job {
  std::string name;
  std::vector<Command> before;  // run undisturbed in the folder, to make what the command needs
  Command command;
  // What its messages tell the user to run after a failure. They are tried in order until one succeeds.
  std::vector<Command> again;
  std::vector<std::string> results;     // the files and folders that it writes
  std::vector<std::string> timed = {};  // names of results whose content depends on the time
  // The files that it reads and that gptmoe wrote, for the corruption campaign; relative paths.
  std::vector<std::string> reads = {};
  // Files that it reads and that have no checksum, since other programs write them or read them. Damage in them may
  // change the results.
  std::vector<std::string> unsealed = {};
  // The command starts in the state that a kill leaves after this share of its own file calls; 0: it starts afresh.
  double interrupted_at = 0;
  // Another command that starts at the same time and is not disturbed. It succeeds or is refused with one line.
  Command rival = {};
};

const std::vector<Job>& all_jobs();

// Writes the configs, shards, texts and tasks that the jobs read.
void write_inputs(const fs::path& folder);

// The files of `results` below `folder`: relative path and content. Leaves out everything that depends on the time
// (clocks in rows and states, event files, logs) and all checkpoints except the latest.
std::vector<std::pair<std::string, std::string>> contents(const fs::path& folder, const Job& job);

}  // namespace gptmoe::torture
