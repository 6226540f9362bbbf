#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "config/config.h"

namespace gptmoe {

// Loads the config at `path` with the values of --set, and checks the router's keys too. With data.document_mask,
// data.end_of_text gets the tokenizer's id unless it is given. If data.tokenizer is gone, the id comes from the copy in
// the folder of `run`, the run that is resumed or branched. Throws the errors of load_config() and load_tokenizer(),
// and UserError if no end-of-text token is known. If the path is a folder, or a file of a checkpoint, the error says so
// and names the path to give instead.
Config load_given_config(const std::filesystem::path& path, const std::vector<std::string>& overrides,
                         const std::filesystem::path& run = {});

}  // namespace gptmoe
