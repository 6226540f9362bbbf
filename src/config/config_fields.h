#pragma once
#include "config/config.h"
#include "config/fields.h"

namespace gptmoe {

// Visits every key of a config in the order of config.json.
void visit_fields(Fields& fields, Config& config);

}  // namespace gptmoe
