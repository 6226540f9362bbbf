#pragma once
#include <string>

#include "config/config.h"

namespace gptmoe {

// The rules that involve more than one key; config_fields.cpp has the range of each. Throws KeyError naming the key to
// change.
void validate(const Config& config, const std::string& file);

}  // namespace gptmoe
