#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "config/config.h"

namespace gptmoe {

// The config of a command line's argument, with the values of --set; the router's keys are checked too. With
// data.document_mask, data.end_of_text has the tokenizer's id unless it was given. If that tokenizer is gone, the copy
// in the folder of `run`, which is resumed or branched, takes its place. Throws UserError as load_config() and
// load_tokenizer() do, and if no end-of-text token is known. If the path is a folder, or a file of a checkpoint, the
// error says what it is and what to give.
Config load_given_config(const std::filesystem::path& path, const std::vector<std::string>& overrides,
                         const std::filesystem::path& run = {});

}  // namespace gptmoe
