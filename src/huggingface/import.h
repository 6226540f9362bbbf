#pragma once
// Writes the model of a Hugging Face folder as a checkpoint.
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "huggingface/model_folder.h"

namespace gptmoe {

struct ImportedFiles {
  int64_t tensors = 0, bytes = 0;
};

// Writes to `out` a checkpoint of step 0 with the model in f32 and the files of `tokenizer` (names and contents). State
// that only training needs has its initial values. Reads and writes tensors in parts, so it needs little memory. `out`
// is either complete or absent. Shows the progress on a terminal. Throws what ModelFolder::require_all() throws,
// UserError for an `out` that is not empty, and Failure if the disk fails; then nothing is left behind.
ImportedFiles import_model(const ModelFolder& model, const std::filesystem::path& out,
                           const std::vector<std::pair<std::string, std::string>>& tokenizer = {});

}  // namespace gptmoe
