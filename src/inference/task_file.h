#pragma once
// Downstream tasks as files: JSON Lines, one example a line, in the layout of llm-foundry's local_data.
//   multiple choice  {"query": "...", "choices": ["...", "..."], "gold": 0}           which choice follows the query?
//   schema           {"context_options": ["...", "..."], "continuation": "...", "gold": 0}  which context fits better?
//   completion       {"context": "...", "continuation": "..."}                        does this continuation follow?
// The keys give the kind; a file has one kind. Any line may also have a "category", if all lines have one. White space
// at both ends of every text is dropped, since a delimiter joins the texts. Blank lines are skipped. docs/eval.md has
// recipes for other layouts.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace gptmoe {

inline constexpr const char* kWhiteSpace = " \t\n\v\f\r";

enum class TaskKind { multiple_choice, schema, completion };
std::string task_kind_name(TaskKind kind);

struct Example {
  int64_t line;                            // in the file, from 1
  std::vector<std::string> contexts;       // several in a schema, else one
  std::vector<std::string> continuations;  // several in a multiple choice, else one; none is empty
  int64_t gold;                            // the right candidate
  std::string category = {};               // empty: the file has none

  // Each candidate is scored by the log-likelihood of its continuation after its context.
  int64_t candidates() const { return std::ssize(contexts) * std::ssize(continuations); }
  const std::string& context(int64_t candidate) const {
    return contexts[contexts.size() == 1 ? 0 : static_cast<size_t>(candidate)];
  }
  const std::string& continuation(int64_t candidate) const {
    return continuations[continuations.size() == 1 ? 0 : static_cast<size_t>(candidate)];
  }
};

struct Task {
  std::string name;
  std::filesystem::path file;
  TaskKind kind;
  std::vector<Example> examples;  // at least one
  std::string checksum = {};      // of the file's bytes, as text

  // "FILE:LINE", for messages.
  std::string place(const Example& example) const;
};

struct TaskFile {
  std::string name;
  std::filesystem::path path;
};

// The files among `paths`, and every *.jsonl below the folders among them, sorted by path. A task is named after its
// file, without the ending; for a file in a folder, the name is the path relative to that folder. Throws UserError if a
// path does not exist, a folder holds no task, or two tasks have the same name. `given_by` is where the paths come
// from, for messages.
std::vector<TaskFile> find_task_files(const std::vector<std::string>& paths, const std::string& given_by = "--task ");

// Reads a task. Throws UserError "FILE:LINE: ..." for a line that is not JSON or not a task, unknown keys, an empty
// text, a gold that is not a candidate, a line of another kind than the first, or categories on some lines only.
Task read_task(const TaskFile& file);

}  // namespace gptmoe
