#pragma once
// Writes a checkpoint as a folder that Hugging Face transformers opens.
#include <cstdint>
#include <filesystem>

#include "checkpoint/checkpoint.h"
#include "huggingface/export_files.h"

namespace gptmoe {

struct ExportRequest {
  std::filesystem::path checkpoint;
  std::filesystem::path out;
  Config config;  // the checkpoint's
  Weights weights = Weights::last;
  const Family& family;
  DType dtype = DType::f32;              // or bf16
  int64_t shard_bytes = 5000000000;      // maximum bytes of tensors per file
  const Tokenizer* tokenizer = nullptr;  // null: none is written
  ModelCard card = {};
};

struct ExportedFiles {
  int64_t tensors = 0, bytes = 0, shards = 0;
  std::string without_tokenizer = {};  // why tokenizer.json cannot hold the tokenizer; empty if it can
};

// The folder holds:
//   model.safetensors, or model-00001-of-0000N.safetensors, ... with model.safetensors.index.json
//   config.json, generation_config.json, README.md
//   tokenizer.json, tokenizer_config.json           with a tokenizer
//   configuration_gptmoe.py, modeling_gptmoe.py     for our own class
// They are written to a new unfinished folder (base/unfinished.h), flushed and renamed to OUT, so OUT is either
// complete or absent. The process holds OUT's OutputLock until then, and removes the unfinished folders of killed
// exports to OUT. OUT may exist if it is empty. Shows the progress on a terminal. A tokenizer that tokenizer.json
// cannot hold is left out. Throws UserError for a damaged checkpoint and for an `out` that is not empty, and Failure if
// the disk fails; then nothing is left behind.
ExportedFiles export_model(const ExportRequest& request);

}  // namespace gptmoe
