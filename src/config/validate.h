#pragma once
#include <string>

#include "config/config.h"

namespace gptmoe {

// The rules that need more than one field, or that a range cannot say. Throws ConfigError naming the field to change.
void validate(const Config& config, const std::string& file);

}  // namespace gptmoe
