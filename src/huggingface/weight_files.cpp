#include "huggingface/weight_files.h"

#include <set>

#include "base/check.h"
#include "base/checksum.h"
#include "base/folder.h"
#include "base/json.h"
#include "base/read_json.h"
#include "checkpoint/checkpoint.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOneFile = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

// The name of each tensor's file, by the tensor's name.
std::map<std::string, std::string> read_index(const fs::path& path) {
  const auto index = read_json(path);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object())
    user_error(path.string(), ": weight_map: must be an object that gives each tensor's file");
  std::map<std::string, std::string> files;
  for (const auto& [tensor, file] : index["weight_map"].items()) {
    if (!file.is_string() || fs::path(file.get<std::string>()).filename() != file.get<std::string>())
      user_error(path.string(), ": weight_map: tensor \"", tensor,
                 "\": must be the name of a file in this folder, not ", file.dump());
    files[tensor] = file.get<std::string>();
  }
  return files;
}

}  // namespace

WeightFiles::WeightFiles(const fs::path& folder) : place_(folder / kOneFile) {
  if (anything_at(place_)) {
    open(place_);
    return;
  }
  if (!anything_at(folder / kIndex))
    user_error(folder.string(), ": holds neither ", kOneFile, " nor ", kIndex,
               "; save the model with transformers as safetensors");
  place_ = folder / kIndex;
  const std::map<std::string, std::string> index = read_index(place_);
  std::set<std::string> files;
  for (const auto& [tensor, file] : index) files.insert(file);
  for (const std::string& file : files) {
    if (!anything_at(folder / file)) user_error(place_.string(), ": names ", file, ", which is not in the folder");
    for (const SafetensorsFile& shard = open(folder / file); const std::string& name : shard.names())
      if (const auto listed = index.find(name); listed == index.end())
        shard.fail(name, text("is not in ", kIndex));
      else if (listed->second != file)
        shard.fail(name, text("is in ", listed->second, " according to ", kIndex));
  }
  for (const auto& [tensor, file] : index)
    if (!holds(tensor)) user_error(place_.string(), ": tensor \"", tensor, "\": is not in ", file);
}

const SafetensorsFile& WeightFiles::open(const fs::path& path) {
  const SafetensorsFile& file = files_.emplace_back(path);
  for (const SafetensorsFile::Entry& entry : file.entries()) tensors_[entry.name] = {&file, &entry};
  return file;
}

std::string WeightFiles::checksum(World* world) const {
  Checksum checksum;
  for (const SafetensorsFile& file : files_)
    add_to_checksum(checksum, file.file(), [&] {
      if (world) world->tick();
    });
  return checksum_text(checksum.value());
}

std::vector<std::string> WeightFiles::names() const {
  std::vector<std::string> names;
  for (const SafetensorsFile& file : files_)
    for (const SafetensorsFile::Entry& entry : file.entries()) names.push_back(entry.name);
  return names;
}

void WeightFiles::check(const std::string& name, DType dtype, const std::vector<int64_t>& sizes) const {
  if (!holds(name)) user_error(place_.string(), ": tensor \"", name, "\": is missing; expected ", shape_text(sizes));
  const DType stored = at(name).entry->dtype();
  if (stored != DType::f32 && stored != DType::bf16)
    fail(name, text("holds ", dtype_name(stored), "; gptmoe imports F32, BF16 and F16"));
  GPTMOE_CHECK(dtype == DType::f32 || dtype == DType::f64 || dtype == DType::bf16, name);
  if (at(name).entry->sizes != sizes)
    fail(name, "has the shape " + shape_text(at(name).entry->sizes) + " and not " + shape_text(sizes));
}

void WeightFiles::read_part(const std::string& name, int64_t first, const Tensor& out, Memory& memory) const {
  at(name).file->read_part(name, first, out, memory);
}

}  // namespace gptmoe
