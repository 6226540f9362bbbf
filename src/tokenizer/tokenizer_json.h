#pragma once
// Reads Hugging Face's tokenizer.json; save_tokenizer() (tokenizer_file.h) writes it.
#include <filesystem>

#include "tokenizer/tokenizer.h"

namespace gptmoe {

// A byte-level BPE model, without end_of_text, which the format does not name. Throws UserError naming file and JSON
// path.
Vocabulary read_tokenizer_json(const std::filesystem::path& path);

}  // namespace gptmoe
