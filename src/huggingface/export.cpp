#include "huggingface/export.h"

#include <cstdio>

#include "base/check.h"
#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "checkpoint/checkpoint.h"
#include "huggingface/folder_in_progress.h"
#include "huggingface/modeling_files.h"
#include "huggingface/tensor_plan.h"
#include "model/gpt.h"
#include "tokenizer/tokenizer_file.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModelName = "model";

// "model.safetensors", or "model-00002-of-00003.safetensors" for index 1 of 3.
std::string shard_name(size_t index, size_t count) {
  if (count == 1) return text(kModelName, ".safetensors");
  char numbers[40];
  std::snprintf(numbers, sizeof numbers, "-%05zu-of-%05zu", index + 1, count);
  return text(kModelName, numbers, ".safetensors");
}

int64_t bytes_of(const std::vector<PlannedTensor>& tensors) {
  int64_t bytes = 0;
  for (const PlannedTensor& tensor : tensors) bytes += tensor.bytes();
  return bytes;
}

void write_index(const fs::path& folder, const std::vector<std::vector<PlannedTensor>>& shards, int64_t bytes) {
  nlohmann::ordered_json index = {{"metadata", {{"total_size", bytes}}},
                                  {"weight_map", nlohmann::ordered_json::object()}};
  auto& map = index["weight_map"].get_ref<nlohmann::ordered_json::object_t&>();
  for (size_t i = 0; i < shards.size(); ++i)
    for (const PlannedTensor& tensor : shards[i]) map.emplace_back(tensor.name, shard_name(i, shards.size()));
  write_text_file(folder / text(kModelName, ".safetensors.index.json"), index.dump(2) + "\n");
}

ExportedFiles write_model(const fs::path& folder, const ExportRequest& request) {
  // `gpt` only says which tensors the checkpoint must hold; no memory is allocated for them.
  const Gpt gpt(request.config.model, request.config.router, DType::f32, DType::f32);
  const SafetensorsFile file = open_model_of(request.checkpoint, gpt.params(), gpt.state(), request.weights);
  const std::vector<PlannedTensor> tensors = plan_tensors(request.family, request.config.model, file, request.dtype);
  const auto shards = cut_into_shards(tensors, request.shard_bytes);
  const int64_t total = bytes_of(tensors);

  ProgressLine line;
  const JobClock clock;
  int64_t done = 0;
  const WriteProgress progress = [&](int64_t bytes) {
    done += bytes;
    line.show("export " + clock.state(done, total));
  };
  for (size_t i = 0; i < shards.size(); ++i) {
    std::vector<TensorSource> sources;
    for (const PlannedTensor& tensor : shards[i]) sources.push_back(source_of(tensor, file, progress));
    write_safetensors(folder / shard_name(i, shards.size()), sources, {{"format", "pt"}});
  }
  line.clear();
  if (shards.size() > 1) write_index(folder, shards, total);
  return {.tensors = std::ssize(tensors), .bytes = total, .shards = std::ssize(shards)};
}

// Writes tokenizer.json and tokenizer_config.json. Returns why it cannot; empty if it can.
std::string write_tokenizer(const fs::path& folder, const ModelConfig& model, const Tokenizer& tokenizer) {
  try {
    save_tokenizer(tokenizer, folder / "tokenizer.json");
  } catch (const UserError& error) {
    const std::string why = error.what(), place = (folder / "tokenizer.json: ").string();
    return why.starts_with(place) ? why.substr(place.size()) : why;
  }
  write_text_file(folder / "tokenizer_config.json", tokenizer_config_json(model, tokenizer));
  return "";
}

// Writes all files but the tensors. Returns why it writes no tokenizer although there is one; empty otherwise.
std::string write_small_files(const fs::path& folder, const ExportRequest& request) {
  const ModelConfig& model = request.config.model;
  const Tokenizer* tokenizer = request.tokenizer;
  const auto end = tokenizer ? tokenizer->end_of_text() : std::nullopt;
  const std::string without = tokenizer ? write_tokenizer(folder, model, *tokenizer) : "";
  const bool with_tokenizer = tokenizer && without.empty();
  write_text_file(folder / "config.json", config_json(request.family, request.config, request.dtype, end));
  write_text_file(folder / "generation_config.json", generation_config_json(model, tokenizer));
  write_text_file(folder / "README.md", model_card(request.card, request.family, with_tokenizer));
  if (&request.family != &custom_family()) return without;
  write_text_file(folder / "configuration_gptmoe.py", kConfigurationSource);
  write_text_file(folder / "modeling_gptmoe.py", kModelingSource);
  return without;
}

}  // namespace

ExportedFiles export_model(const ExportRequest& request) {
  require_free_folder(request.out);
  try {
    const FolderInProgress unfinished(request.out);
    ExportedFiles written = write_model(unfinished.path(), request);
    written.without_tokenizer = write_small_files(unfinished.path(), request);
    unfinished.finish();
    return written;
  } catch (const fs::filesystem_error& error) {
    throw Failure(text(error.path1().string(), ": ", error.code().message()));
  }
}

}  // namespace gptmoe
