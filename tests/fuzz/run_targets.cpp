// The readers of configs and of the files of a run.
#include <sstream>

#include "base/checksum.h"
#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/checkpoint_folders.h"
#include "config/config.h"
#include "fuzz/input.h"
#include "fuzz/targets.h"
#include "inference/prompt_file.h"
#include "inference/task_file.h"
#include "records/analysis_log.h"
#include "records/metrics_file.h"
#include "records/run_folder.h"
#include "report/find_runs.h"
#include "report/reference.h"
#include "report/run_log.h"
#include "report/watched_run.h"
#include "train/event_file.h"
#include "train/given_config.h"

namespace gptmoe::fuzz {

void config(std::string_view bytes) {
  static const InputPath file("config.json", "config");
  const auto [content, lines] = split_at_nul(bytes);
  std::vector<std::string> overrides;
  std::istringstream in{std::string(lines)};
  for (std::string line; std::getline(in, line);) overrides.push_back(line);
  allow_refusal([&, &content = content] {
    const Config config = load_given_config(file.with(content), overrides);
    GPTMOE_CHECK(parse_config(nlohmann::json(to_json(config)), "again") == config, "changed when written and read");
  });
}

void safetensors(std::string_view bytes) {
  static const InputPath file("model.safetensors", "safetensors");
  allow_refusal([&] {
    const SafetensorsFile tensors(file.with(bytes));
    for (const auto& entry : tensors.entries()) {
      int64_t count = 1;
      for (int64_t size : entry.sizes) count *= size;
      std::vector<char> memory(static_cast<size_t>(count * dtype_bytes(entry.dtype())));
      tensors.check(entry.name, entry.dtype(), entry.sizes);
      tensors.read_part(entry.name, 0, Tensor(memory.data(), entry.dtype(), {count}));
    }
  });
}

// The input is the file without its checksum, since no mutation would match the checksum.
void checkpoint_state(std::string_view bytes) {
  static const InputPath file("state.json", "step_00000001");
  const std::string body(bytes);
  file.with(body + ",\n  \"checksum\": \"" + checksum_text(checksum_of(body)) + "\"\n}\n");
  allow_refusal([&] { read_checkpoint_state(file.folder()); });
}

void metrics(std::string_view bytes) {
  allow_refusal([&] { for_each_row(bytes, "metrics.jsonl", [](const MetricsLine& line) { line.row(); }); });
}

// config.json, metrics.jsonl, history.json, provenance.json and jobs.json, separated by NULs.
void run_log(std::string_view bytes) {
  static const InputPath files[] = {InputPath("config.json", "run"), InputPath("metrics.jsonl", "run"),
                                    InputPath("history.json", "run"), InputPath("provenance.json", "run"),
                                    InputPath("jobs.json", "run")};
  for (const InputPath& file : files) {
    const auto [content, rest] = split_at_nul(bytes);
    file.with(content);
    bytes = rest;
  }
  allow_refusal([&] { holds_run(files[0].folder()); });
  allow_refusal([&] {
    const RunLog run = read_run(files[0].folder());
    GPTMOE_CHECK(run.last_step() >= 0);
  });
}

void analysis(std::string_view bytes) {
  static const InputPath file("analysis.json");
  allow_refusal([&] { read_analysis(file.with(bytes)); });
}

void reference(std::string_view bytes) {
  static const InputPath file("curves.json");
  allow_refusal([&] { read_reference(file.with(bytes).string(), "8c1_topk"); });
}

void task(std::string_view bytes) {
  static const InputPath file("task.jsonl");
  allow_refusal([&] {
    const Task task = read_task({"task", file.with(bytes)});
    GPTMOE_CHECK(!task.examples.empty());
    for (const Example& example : task.examples) GPTMOE_CHECK(example.gold >= 0 && example.gold < example.candidates());
  });
}

void prompts(std::string_view bytes) {
  static const InputPath lines("prompts.txt"), json("prompts.jsonl");
  for (const InputPath* file : {&lines, &json})
    allow_refusal([&] { GPTMOE_CHECK(!read_prompts(file->with(bytes)).empty()); });
}

void watched_run(std::string_view bytes) {
  static const InputPath config("config.json", "watched"), rows("metrics.jsonl", "watched");
  const auto [content, lines] = split_at_nul(bytes);
  config.with(content);
  // Half of the rows, then all of them, as while the run trains.
  rows.with(lines.substr(0, lines.size() / 2));
  WatchedRun run(config.folder());
  for (const std::string_view part : {lines.substr(0, lines.size() / 2), lines}) {
    rows.with(part);
    run.look([](const std::filesystem::path&) -> int64_t { return -1; });
    GPTMOE_CHECK(run.problem().find('\n') == std::string::npos, run.problem());
  }
}

void arms(std::string_view bytes) {
  static const InputPath config("config.json", "sweep/optimizer.learning_rate=1e-3/seed_1"),
      rows("metrics.jsonl", "sweep/optimizer.learning_rate=1e-3/seed_1");
  config.with(bytes);
  rows.with("");
  const auto folder = config.folder().parent_path().parent_path();
  allow_refusal([&] { find_runs_by_arm(folder); });
  std::vector<std::string> skipped;
  allow_refusal([&] {
    find_arms(
        folder, [](const auto& run) { return read_run(run); }, &skipped);
  });
}

void latest(std::string_view bytes) {
  static const InputPath file("LATEST", "saved/checkpoints"), state("state.json", "saved/checkpoints/step_00000001");
  state.with("{}");
  file.with(bytes);
  allow_refusal([&] {
    const auto found = latest_checkpoint(file.folder().parent_path());
    GPTMOE_CHECK(found && found->filename() == "step_00000001", "another checkpoint");
  });
}

void event_file(std::string_view bytes) {
  static const InputPath file("events.out.tfevents.1.host.1", "events");
  allow_refusal([&] { written_events(file.with(bytes).parent_path()); });
}

}  // namespace gptmoe::fuzz
