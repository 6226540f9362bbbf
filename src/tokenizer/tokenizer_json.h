#pragma once
// Reads Hugging Face's tokenizer.json; save_tokenizer() (tokenizer_file.h) writes it.
#include <filesystem>

#include "tokenizer/tokenizer.h"

namespace gptmoe {

// Reads a byte-level BPE model. Leaves end_of_text empty, since the format does not name that token. Throws UserError
// naming file and JSON path.
Vocabulary read_tokenizer_json(const std::filesystem::path& path);

}  // namespace gptmoe
