#pragma once
// For readers that need one row of a model at a time: exports.
#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"

namespace gptmoe {

// Opens the checkpoint's model.safetensors, after the checks of load_model(). The tables need no memory; their
// parameters are those of an f32 model.
SafetensorsFile open_model(const std::filesystem::path& checkpoint_dir, const ParamTable& params,
                           const StateTable& state);

}  // namespace gptmoe
