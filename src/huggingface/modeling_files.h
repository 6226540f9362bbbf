#pragma once

namespace gptmoe {

// The texts of configuration_gptmoe.py and modeling_gptmoe.py, which the build puts into the program.
extern const char* const kConfigurationSource;
extern const char* const kModelingSource;

}  // namespace gptmoe
