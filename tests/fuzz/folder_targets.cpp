// The readers of Hugging Face folders and of the manifest beside shards.
#include "corpus/manifest.h"
#include "data/shard_seals.h"
#include "fuzz/input.h"
#include "fuzz/targets.h"
#include "huggingface/model_folder.h"

namespace gptmoe::fuzz {
namespace {

// A safetensors file with the f32 tensors "a", of one element, and "b", of two.
std::string two_tensors() {
  std::string header =
      R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  std::string file(1, static_cast<char>(header.size()));
  file.resize(8, '\0');
  return file + header + std::string(12, '\0');
}

}  // namespace

void model_config(std::string_view bytes) {
  static const InputPath file("config.json", "model");
  file.with(bytes);
  allow_refusal([&] { is_model_folder(file.folder()); });
  allow_refusal([&] { describe_folder(file.folder()); });
}

void weight_index(std::string_view bytes) {
  static const InputPath file("model.safetensors.index.json", "weights"), weights("a.safetensors", "weights");
  static const auto written = weights.with(two_tensors());
  file.with(bytes);
  allow_refusal([&] {
    const WeightFiles files(file.folder());
    GPTMOE_CHECK(files.names().size() == 2);
  });
}

void manifest(std::string_view bytes) {
  static const InputPath file(kManifestName, "shards");
  file.with(bytes);
  allow_refusal([&] {
    const Manifest manifest = read_manifest(file.folder());
    allow_refusal([&] { check_same_job(file.folder(), manifest.identity, manifest.identity); });
  });
}

void shard_seals(std::string_view bytes) {
  static const InputPath file(kManifestName, "sealed");
  file.with(bytes);
  allow_refusal([&] {
    ShardSeals seals;
    seals.find(file.folder() / "train_000000.bin");
    seals.find(file.folder() / "val_000000.bin");
  });
}

}  // namespace gptmoe::fuzz
