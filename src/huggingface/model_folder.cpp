#include "huggingface/model_folder.h"

#include <algorithm>
#include <set>

#include "base/check.h"
#include "base/folder.h"
#include "base/json.h"
#include "base/key_error.h"
#include "base/progress.h"
#include "base/read_json.h"
#include "checkpoint/checkpoint.h"
#include "records/run_folder.h"
#include "routing/router_defaults.h"
#include "routing/router_table.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfigFile = "config.json";
constexpr int64_t kLongestSequence = 2048;
constexpr const char* kHead = "lm_head.weight";
constexpr const char* kEmbedding = "model.embed_tokens.weight";
constexpr int64_t kPartCount = 1 << 20;  // elements in memory at a time

// Buffers that older versions of transformers saved; they follow from config.json.
bool is_buffer(const std::string& name) { return name.ends_with(".rotary_emb.inv_freq"); }

// The absolute path. Throws UserError if the system cannot resolve it, for example because links form a loop.
fs::path absolute_path(const fs::path& folder) {
  file_type_at(folder);
  return fs::weakly_canonical(folder);
}

// Sets the model and the router, and checks them.
void understand_model(const Family& family, TheirConfig& theirs, Config& config) try {
  family.config.understand(theirs, config);
  config.train.sequence_length = std::min(config.model.max_position_embeddings, kLongestSequence);
  config = parse_config(nlohmann::json(to_json(config)), theirs.file());
  check_router(config, theirs.file());
} catch (const KeyError& error) {
  throw KeyError(theirs.file(), their_key(theirs, error.path), error.why);
}

}  // namespace

bool is_model_folder(const fs::path& path) {
  if (file_type_at(path) != fs::file_type::directory || !anything_at(path / kConfigFile)) return false;
  if (anything_at(path / kCheckpointStateFile) || anything_at(path / kCheckpointsFolder)) return false;
  const auto config = read_json(path / kConfigFile, Comments::allowed);
  return config.is_object() && config.contains("model_type");
}

ModelDescription describe_folder(const fs::path& folder) {
  TheirConfig theirs(folder / kConfigFile);
  const std::string type = theirs.word("model_type");
  const Family* family = family_of(type);
  if (type == kCheckpointModelType)
    user_error(theirs.file(), ": model_type: ", type,
               ": the folder is a checkpoint already; train --init-from, eval and export take it as it is");
  if (!family) theirs.refuse("model_type", type, text("gptmoe imports ", known_model_types()));
  Config config;
  config.data.train = {{"none"}};
  config.train.steps = config.train.sequence_length = config.train.micro_batch_size = config.train.global_batch_size =
      1;
  config.train.init_from = folder.string();
  config.optimizer.learning_rate = 1e-4;
  understand_model(*family, theirs, config);
  config.router = with_defaults(config.router, router_setup(config.model));
  for (const std::string& what : family->misfits(config))
    user_error(theirs.file(), ": describes ", what, ", which ", family->architecture, " does not compute");
  return {family, config, theirs.ignored()};
}

ModelFolder::ModelFolder(const fs::path& folder)
    : path_(absolute_path(folder)),
      description_(describe_folder(path_)),
      files_(path_),
      plan_(plan_import(family(), config().model, files_)) {
  std::erase_if(plan_.unknown, is_buffer);
  require_zeros();
}

void ModelFolder::require_zeros() const {
  for (const std::string& name : plan_.zeros) {
    int64_t count = 1;
    for (const int64_t size : files_.sizes(name)) count *= size;
    files_.check(name, DType::f32, files_.sizes(name));
    std::vector<float> values(static_cast<size_t>(count));
    files_.read_part(name, 0, Tensor(values.data(), DType::f32, {count}));
    if (std::any_of(values.begin(), values.end(), [](float value) { return value != 0; }))
      files_.fail(name, text("is not zero, and gptmoe's models have no such tensor; ", family().architecture,
                             " can be imported only if it is zero"));
  }
}

void ModelFolder::require_tied_head() const {
  const PlannedTensor &head = *find(kHead), &embedding = *find(kEmbedding);
  check(kHead, DType::f32, embedding.sizes);
  ProgressLine line;
  const JobClock clock;
  const int64_t count = head.bytes() / dtype_bytes(DType::f32);
  std::vector<float> one, other;
  for (int64_t first = 0; first < count; first += std::ssize(one)) {
    one.resize(static_cast<size_t>(std::min(kPartCount, count - first)));
    other.resize(one.size());
    read_part(kHead, first, Tensor(one.data(), DType::f32, {std::ssize(one)}));
    read_part(kEmbedding, first, Tensor(other.data(), DType::f32, {std::ssize(one)}));
    if (one != other)
      files_.fail(theirs(kHead), text("differs from \"", theirs(kEmbedding),
                                      "\", but tie_word_embeddings is true; remove the tensor, or set it to false"));
    line.show("compare " + clock.state(first, count));
  }
  line.clear();
}

std::string ModelFolder::theirs(const std::string& ours) const {
  for (const TensorName& rule : family().tensors)
    if (const auto name = renamed(rule.ours, rule.theirs, ours)) return *name;
  return "";
}

void ModelFolder::require_all(const ParamTable& params, const StateTable& state) const {
  std::set<std::string> used;
  const auto need = [&](const std::string& row, const std::vector<int64_t>& sizes) {
    used.insert(row);
    if (const std::string name = theirs(row); holds(row))
      check(row, DType::f32, sizes);
    else if (!name.empty())
      user_error(files_.place().string(), ": tensor \"", name,
                 "\": is missing; config.json describes a model that has it");
  };
  for (const ParamRow& row : params.rows()) need(row.name, row.sizes);
  for (const StateRow& row : state.rows())
    if (row.persistent) need(row.name, row.sizes);
  if (config().model.tie_word_embeddings && holds(kHead)) {
    require_tied_head();
    used.insert(kHead);
  }
  for (const std::string& name : names())
    if (!used.contains(name))
      files_.fail(holds(name) ? theirs(name) : name, "is not part of the model that config.json describes");
  for (const ZeroTensor& zero : family().zeros ? family().zeros(config().model) : std::vector<ZeroTensor>())
    files_.check(zero.theirs, DType::f32, zero.sizes);
}

const PlannedTensor* ModelFolder::find(const std::string& name) const {
  const auto found = plan_.tensors.find(name);
  return found == plan_.tensors.end() ? nullptr : &found->second;
}

std::vector<std::string> ModelFolder::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : plan_.tensors) names.push_back(name);
  names.insert(names.end(), plan_.unknown.begin(), plan_.unknown.end());
  return names;
}

void ModelFolder::check(const std::string& name, DType dtype, const std::vector<int64_t>& sizes) const {
  const PlannedTensor& tensor = *find(name);
  const std::string& theirs = tensor.pieces[0].tensor;
  std::vector<int64_t> expected = sizes;
  if (files_.sizes(theirs) != tensor.sizes) expected[0] *= 3;  // `theirs` holds three of our tensors
  files_.check(theirs, dtype, expected);
}

void ModelFolder::read_part(const std::string& name, int64_t first, const Tensor& out, Memory& memory) const {
  read_planned(*find(name), files_, first, out, memory);
}

}  // namespace gptmoe
