#include "torture/job.h"

#include <algorithm>

#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "support/write_shard.h"

namespace gptmoe::torture {
namespace {

using nlohmann::json;

constexpr int64_t kVocabulary = 300;
// Fields that depend on the time. The checksums cover the others, so they depend on it too.
const char* const kClocks[] = {"seconds", "time", "tokens_per_second", "mfu", "memory_bytes", "previous", "checksum"};

json config(const std::string& router) {
  json whole = {{"model",
                 {{"vocab_size", kVocabulary},
                  {"hidden_size", 12},
                  {"num_hidden_layers", 2},
                  {"num_attention_heads", 3},
                  {"moe_intermediate_size", 10},
                  {"num_experts", 5},
                  {"num_experts_per_tok", 2},
                  {"router_aux_loss_coef", 0.01},
                  {"init", "normal"},
                  {"initializer_range", 0.3}}},
                {"router", {{"type", router}}},
                {"data", {{"train", "train_*.bin"}, {"val", "val_*.bin"}, {"tokenizer", "words.json"}}},
                {"train", {{"steps", 12}, {"sequence_length", 7}, {"micro_batch_size", 2}, {"eval_every", 5}}},
                {"optimizer", {{"learning_rate", 0.01}}},
                {"schedule", {{"warmup_steps", 3}}},
                {"checkpoint", {{"every", 4}, {"keep", 2}}},
                {"device", "cpu"}};
  if (router == "dense") {
    for (const char* key : {"num_experts_per_tok", "moe_intermediate_size", "router_aux_loss_coef"})
      whole["model"].erase(key);
    whole["model"]["num_experts"] = 0;
    whole["model"]["intermediate_size"] = 10;
    whole.erase("router");
  }
  return whole;
}

void write_random_shard(const fs::path& path, uint64_t tokens, uint64_t seed) {
  const Rng rng(seed, 0);
  std::vector<int32_t> ids;
  for (uint64_t i = 0; i < tokens; ++i) ids.push_back(static_cast<int32_t>(rng.below(i, kVocabulary)));
  write_shard(path, kVocabulary, ids);
}

std::string random_text(uint64_t words, uint64_t seed) {
  const Rng rng(seed, 1);
  std::string text;
  for (uint64_t i = 0; i < words; ++i) {
    for (uint64_t letter = 0; letter < 2 + rng.below(3 * i, 5); ++letter)
      text += static_cast<char>('a' + rng.below(1000 * i + letter + 7, 12));
    text += rng.below(3 * i + 1, 12) == 0 ? ".\n" : " ";
  }
  return text;
}

Command gptmoe(Command arguments) {
  arguments.insert(arguments.begin(), "gptmoe");
  return arguments;
}

Command tokenize(Command arguments) {
  arguments.insert(arguments.begin(), "gptmoe-tokenize");
  return arguments;
}

Command with(Command command, const Command& more) {
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

std::string without_clocks(const std::string& rows) {
  std::string out;
  for (size_t begin = 0, end; (end = rows.find('\n', begin)) != std::string::npos; begin = end + 1) {
    json row = json::parse(rows.substr(begin, end - begin), nullptr, false);
    if (row.is_object())
      for (const char* clock : kClocks) row.erase(clock);
    out += row.is_discarded() ? rows.substr(begin, end - begin) : row.dump();
    out += '\n';
  }
  return out;
}

std::string state_without_clock(const std::string& content) {
  json state = json::parse(content, nullptr, false);
  if (!state.is_object()) return content;
  for (const char* clock : {"seconds", "last_row", "checksum"}) state.erase(clock);
  return state.dump();
}

// Whether the file is in a checkpoint that is not its run's latest: which of those remain depends on when the run
// stopped.
bool in_earlier_checkpoint(const fs::path& path) {
  const fs::path folder = path.parent_path(), checkpoints = folder.parent_path();
  if (checkpoints.filename() != "checkpoints" || folder.has_extension() || !fs::exists(checkpoints / "LATEST"))
    return false;
  return read_text_file(checkpoints / "LATEST") != folder.filename().string() + "\n";
}

std::vector<Job> make_jobs() {
  const Command train = gptmoe({"train", "default.json", "--out", "run"});
  const Command resume = with(train, {"--resume"});
  const Command cut = gptmoe({"train", "default.json", "--out", "run", "--set", "train.steps=8"});
  const Command longer = with(resume, {"--set", "train.steps=12"});
  const Command compare = gptmoe({"compare", "topk.json", "default.json", "--out", "both", "--jobs", "2"});
  const Command report = gptmoe({"report", "run", "other"});
  const Command other = gptmoe({"train", "topk.json", "--out", "other"});
  const Command analyze = gptmoe({"analyze", "run", "--batches", "1"});
  const Command exporting = gptmoe({"export", "run", "--out", "hf"});
  const Command importing = gptmoe({"import", "hf", "--out", "imported"});
  const Command learn = tokenize({"train", "--input", "text", "--vocab-size", "290", "--output", "learned.json"});
  const Command encode = tokenize({"encode", "--tokenizer", "words.json", "--input", "text", "--output", "shards",
                                   "--shard-tokens", "400", "--val-fraction", "0.2", "--threads", "2"});
  const Command ids =
      tokenize({"import", "ids.npy", "--vocab-size", "300", "--eot", "0", "--output", "ids", "--shard-tokens", "300"});
  const Command tasks = gptmoe({"eval", "run", "--task", "tasks", "--out", "scores.json"});
  const Command eval = gptmoe({"eval", "run", "--out", "eval.json"});
  const Command branch =
      gptmoe({"train", "default.json", "--out", "twig", "--branch", "run", "--set", "train.steps=16"});
  const Command resume_branch =
      gptmoe({"train", "default.json", "--out", "twig", "--resume", "--set", "train.steps=16"});
  const Command dense = gptmoe({"train", "dense.json", "--out", "seed"});
  const Command upcycle = gptmoe({"train", "default.json", "--out", "grown", "--init-from", "seed"});
  const Command tune = gptmoe({"train", "default.json", "--out", "tuned", "--init-from", "hf"});
  const Command generate = gptmoe({"generate", "run", "--prompts", "prompts.jsonl", "--json", "--tokens", "9"});
  const Command in_turn = gptmoe({"compare", "topk.json", "default.json", "--out", "both"});
  const auto starts_over = [](const Command& command) {
    const Command resumed = with(command, {"--resume"});
    return std::vector<Command>{command, resumed, with(resumed, {"--restart"})};
  };
  const std::vector<std::string> model_files = {"run/config.json", "run/tokenizer.json", "run/checkpoints/LATEST",
                                                "run/checkpoints/step_00000012/state.json",
                                                "run/checkpoints/step_00000012/model.safetensors"};
  const Command inspect = tokenize({"inspect", "shards/train_000000.bin", "shards/val_000000.bin"});
  return {
      {"train", {}, train, starts_over(train), {"run"}},
      {"resume",
       {cut},
       longer,
       {longer},
       {"run"},
       {},
       {"run/config.json", "run/history.json", "run/metrics.jsonl", "run/provenance.json", "run/tokenizer.json",
        "run/checkpoints/LATEST", "run/checkpoints/step_00000008/state.json",
        "run/checkpoints/step_00000008/model.safetensors", "run/checkpoints/step_00000008/optimizer.safetensors",
        "train_0.bin", "val_0.bin"}},
      {"branch",
       {train},
       branch,
       {branch, resume_branch, with(resume_branch, {"--restart"})},
       {"twig"},
       {},
       {"run/config.json", "run/history.json", "run/metrics.jsonl", "run/tokenizer.json", "run/checkpoints/LATEST",
        "run/checkpoints/step_00000012/state.json", "run/checkpoints/step_00000012/model.safetensors",
        "run/checkpoints/step_00000012/optimizer.safetensors"}},
      {"init from run",
       {dense},
       upcycle,
       starts_over(upcycle),
       {"grown"},
       {},
       {"seed/checkpoints/LATEST", "seed/checkpoints/step_00000012/state.json",
        "seed/checkpoints/step_00000012/model.safetensors"}},
      {"init from export",
       {train, exporting},
       tune,
       starts_over(tune),
       {"tuned"},
       {},
       {},
       {"hf/config.json", "hf/model.safetensors"}},
      {"two trains", {}, train, starts_over(train), {"run"}, {}, {}, {}, 0, train},
      {"compare", {}, compare, {compare, with(compare, {"--restart"})}, {"both"}, {"report.html", "report.json"}},
      {.name = "compare again",
       .before = {},
       .command = in_turn,
       .again = {in_turn, with(in_turn, {"--restart"})},
       .results = {"both"},
       .timed = {"report.html", "report.json"},
       .interrupted_at = 0.7},
      {"report",
       {train, other, analyze},
       report,
       {report},
       {"run/report.html", "run/report.json"},
       {},
       {"run/config.json", "run/history.json", "run/metrics.jsonl", "run/analysis.json", "run/provenance.json"}},
      {"analyze", {train}, analyze, {analyze}, {"run/analysis.json"}},
      {"eval",
       {train},
       eval,
       {eval},
       {"eval.json"},
       {},
       {"run/config.json", "run/history.json", "run/tokenizer.json", "run/checkpoints/LATEST",
        "run/checkpoints/step_00000012/state.json", "run/checkpoints/step_00000012/model.safetensors", "val_0.bin"}},
      {"eval tasks", {train}, tasks, {tasks}, {"scores.json"}, {}, {"run/tokenizer.json"}, {"tasks/pick.jsonl"}},
      {"generate", {train}, generate, {generate}, {}, {}, model_files, {"prompts.jsonl"}},
      {"export",
       {train},
       exporting,
       {exporting},
       {"hf"},
       {},
       {"run/config.json", "run/tokenizer.json", "run/checkpoints/step_00000012/state.json",
        "run/checkpoints/step_00000012/model.safetensors"}},
      {"import",
       {train, exporting},
       importing,
       {importing},
       {"imported"},
       {},
       {},
       {"hf/config.json", "hf/model.safetensors"}},
      {"tokenize train", {}, learn, {learn}, {"learned.json"}},
      {"tokenize encode", {}, encode, {encode}, {"shards"}, {}, {}, {"words.json", "text/a.jsonl"}},
      {"two encodes", {}, encode, {encode}, {"shards"}, {}, {}, {}, 0, encode},
      {"tokenize import", {}, ids, {ids}, {"ids"}, {}, {}, {"ids.npy"}},
      {"tokenize inspect",
       {encode},
       inspect,
       {inspect},
       {},
       {},
       {"shards/train_000000.bin", "shards/val_000000.bin", "shards/manifest.json"}},
  };
}

}  // namespace

const std::vector<Job>& all_jobs() {
  static const std::vector<Job> jobs = make_jobs();
  return jobs;
}

void write_inputs(const fs::path& folder) {
  for (const char* router : {"topk", "default", "dense"})
    write_text_file(folder / (std::string(router) + ".json"), config(router).dump(2));
  write_random_shard(folder / "train_0.bin", 67, 1);
  write_random_shard(folder / "train_1.bin", 158, 2);
  write_random_shard(folder / "val_0.bin", 80, 3);
  fs::create_directories(folder / "text");
  for (uint64_t file = 0; file < 3; ++file) {
    std::string lines;
    for (uint64_t i = 0; i < 20; ++i) lines += json{{"text", random_text(20, 20 * file + i)}}.dump() + "\n";
    write_text_file(folder / "text" / (std::string(1, static_cast<char>('a' + file)) + ".jsonl"), lines);
  }
  fs::create_directories(folder / "tasks");
  write_text_file(folder / "tasks/pick.jsonl",
                  "{\"query\": \"ab\", \"choices\": [\"cd\", \"ef\"], \"gold\": 1}\n"
                  "{\"query\": \"gh\", \"choices\": [\"ij\", \"kl\"], \"gold\": 0}\n");
  write_text_file(folder / "prompts.jsonl", "{\"prompt\": \"ab cd\"}\n{\"prompt\": \"efgh ij\"}\n");
  std::string array = "\x93NUMPY\x01";
  array += '\0';
  std::string header = "{'descr': '<u2', 'fortran_order': False, 'shape': (700,), }";
  header.resize(117, ' ');
  header += '\n';
  array += std::string{static_cast<char>(header.size()), '\0'} + header;
  const Rng rng(9, 9);
  for (uint64_t i = 0; i < 700; ++i) {
    const auto id = static_cast<uint16_t>(rng.below(i, 20) == 0 ? 0 : rng.below(i + 1000, kVocabulary));
    array += std::string{static_cast<char>(id & 255), static_cast<char>(id >> 8)};
  }
  write_text_file(folder / "ids.npy", array);
}

std::vector<std::pair<std::string, std::string>> contents(const fs::path& folder, const Job& job) {
  std::vector<std::pair<std::string, std::string>> files;
  const auto add = [&](const fs::path& path) {
    const std::string name = path.filename();
    if (name.find(".tfevents.") != std::string::npos || name.ends_with(".log") || name == "provenance.json") return;
    if (in_earlier_checkpoint(path)) return;
    std::string content = read_text_file(path);
    if (name == "metrics.jsonl") content = without_clocks(content);
    if (name == "state.json") content = state_without_clock(content);
    if (std::find(job.timed.begin(), job.timed.end(), name) != job.timed.end()) content = "is there";
    files.emplace_back(fs::relative(path, folder).string(), std::move(content));
  };
  for (const std::string& result : job.results) {
    if (fs::is_regular_file(folder / result)) add(folder / result);
    if (!fs::is_directory(folder / result)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(folder / result)) {
      if (entry.is_regular_file()) add(entry.path());
      if (entry.is_directory() && fs::is_empty(entry.path()))
        files.emplace_back(fs::relative(entry.path(), folder).string(), "");
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace gptmoe::torture
