#pragma once
#include <string>

#include "config/config.h"

namespace gptmoe {

// Checks the rules that involve several keys. The range of a single key is checked in config_fields.cpp. Throws
// KeyError naming the key to change.
void validate(const Config& config, const std::string& file);

}  // namespace gptmoe
