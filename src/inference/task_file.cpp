#include "inference/task_file.h"

#include <algorithm>
#include <optional>
#include <set>

#include "base/checksum.h"
#include "base/file.h"
#include "base/read_json.h"
#include "config/json_section.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kEnding = ".jsonl";

std::vector<TaskFile> files_below(const fs::path& folder) {
  std::vector<TaskFile> files;
  std::error_code error;
  fs::recursive_directory_iterator entries(folder, error);
  for (; !error && entries != fs::recursive_directory_iterator(); entries.increment(error)) {
    const fs::path& path = entries->path();
    if (path.filename().string().starts_with('.')) {  // hidden
      entries.disable_recursion_pending();
      continue;
    }
    if (path.extension() != kEnding || fs::is_directory(path)) continue;
    files.push_back({path.lexically_relative(folder).replace_extension().string(), path});
  }
  if (error) user_error(folder.string(), ": cannot be listed: ", error.message());
  if (files.empty()) user_error(folder.string(), ": no ", kEnding, " in it; name a file of tasks or their folder");
  std::sort(files.begin(), files.end(), [](const TaskFile& a, const TaskFile& b) { return a.path < b.path; });
  return files;
}

std::string stripped(const std::string& value) {
  const size_t begin = value.find_first_not_of(kWhiteSpace);
  return begin == std::string::npos ? "" : value.substr(begin, value.find_last_not_of(kWhiteSpace) - begin + 1);
}

std::vector<std::string> stripped(std::vector<std::string> values) {
  for (std::string& value : values) value = stripped(value);
  return values;
}

std::string not_empty(const JsonSection& line, const std::string& key, std::string value) {
  if (value.empty()) line.fail(key, "must not be empty or white space: such a text has no likelihood");
  return value;
}

void read_multiple_choice(JsonSection& line, Example& example) {
  example.contexts = {stripped(line.string("query"))};
  example.continuations = stripped(line.strings("choices", 2));
  for (size_t i = 0; i < example.continuations.size(); ++i)
    not_empty(line, text("choices[", i, "]"), example.continuations[i]);
  example.gold = line.integer("gold", {0, example.candidates() - 1});
}

void read_schema(JsonSection& line, Example& example) {
  example.contexts = stripped(line.strings("context_options", 2));
  example.continuations = {not_empty(line, "continuation", stripped(line.string("continuation")))};
  example.gold = line.integer("gold", {0, example.candidates() - 1});
}

void read_completion(JsonSection& line, Example& example) {
  example.contexts = {stripped(line.string("context"))};
  example.continuations = {not_empty(line, "continuation", stripped(line.string("continuation")))};
  example.gold = 0;
}

TaskKind kind_of(const JsonSection& line) {
  if (line.has("answer")) line.fail("answer", "tasks with generated answers are not scored; see docs/eval.md");
  if (line.has("query") || line.has("choices")) return TaskKind::multiple_choice;
  if (line.has("context_options")) return TaskKind::schema;
  if (line.has("context") || line.has("continuation")) return TaskKind::completion;
  line.fail("",
            "not a task: needs the keys (query, choices, gold), (context_options, continuation, gold) or (context, "
            "continuation); see docs/eval.md");
}

Example read_example(JsonSection& line, TaskKind kind, int64_t number) {
  Example example{number, {}, {}, 0};
  switch (kind) {
    case TaskKind::multiple_choice: read_multiple_choice(line, example); break;
    case TaskKind::schema: read_schema(line, example); break;
    case TaskKind::completion: read_completion(line, example); break;
  }
  example.category = stripped(line.string("category", ""));
  if (line.has("category") && example.category.empty())
    line.fail("category", "must not be empty; name a category, or leave the key out");
  line.finish();
  return example;
}

}  // namespace

std::string task_kind_name(TaskKind kind) {
  switch (kind) {
    case TaskKind::multiple_choice: return "multiple_choice";
    case TaskKind::schema: return "schema";
    case TaskKind::completion: return "completion";
  }
  GPTMOE_CHECK(false, "unknown kind of task");
}

std::string Task::place(const Example& example) const { return text(file.string(), ":", example.line); }

std::vector<TaskFile> find_task_files(const std::vector<std::string>& paths, const std::string& given_by) {
  std::vector<TaskFile> files;
  for (const std::string& path : paths) {
    const fs::file_type type = file_type_at(path);
    if (type == fs::file_type::not_found)
      user_error(
          given_by, path, ": no such file or folder; ",
          file_type_at(path + kEnding) == fs::file_type::regular
              ? text("did you mean ", path, kEnding, "?")
              : "give a file of JSON lines or a folder of them; docs/tasks.md says how to make one from a benchmark");
    if (type != fs::file_type::directory) {
      files.push_back({fs::path(path).stem().string(), path});
      continue;
    }
    const std::vector<TaskFile> found = files_below(path);
    files.insert(files.end(), found.begin(), found.end());
  }
  std::set<std::string> names;
  for (const TaskFile& file : files)
    if (!names.insert(file.name).second)
      user_error(file.path.string(), ": two tasks are named \"", file.name, "\"; rename one, or name their folder");
  return files;
}

Task read_task(const TaskFile& file) {
  const std::string content = read_text_file(file.path);
  Task task{file.name, file.path, {}, {}, checksum_text(checksum_of(content))};
  std::optional<TaskKind> kind;
  int64_t number = 0;
  for (size_t begin = 0; begin < content.size();) {
    const size_t end = std::min(content.find('\n', begin), content.size());
    const std::string line = content.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string place = text(file.path.string(), ":", number);
    JsonSection section(parse_json_line(line, place), "", place);
    const TaskKind own = kind_of(section);
    if (own != kind.value_or(own))
      user_error(place, ": ", task_kind_name(own), ", but the earlier lines are ", task_kind_name(*kind),
                 "; split them into two files");
    kind = own;
    task.examples.push_back(read_example(section, own, number));
    if (task.examples.back().category.empty() != task.examples.front().category.empty())
      user_error(place, ": category: every line must have one, or none; the first line has ",
                 task.examples.front().category.empty() ? "none" : "one");
  }
  if (!kind) user_error(file.path.string(), ": no examples; it needs one JSON object per line, see docs/eval.md");
  task.kind = *kind;
  return task;
}

}  // namespace gptmoe
