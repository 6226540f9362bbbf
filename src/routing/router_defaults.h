#pragma once
#include "config/config.h"
#include "routing/routing_policy.h"

namespace gptmoe {

// The config with a value for every key of its router: the given value or the default. Throws what
// make_routing_policy() throws.
RouterConfig with_defaults(const RouterConfig& config, const RouterSetup& setup);

}  // namespace gptmoe
