#pragma once
#include "config/config.h"
#include "routing/routing_policy.h"

namespace gptmoe {

// The config with every key that its router knows: as given, or its default. Throws as make_routing_policy() does.
RouterConfig with_defaults(const RouterConfig& config, const RouterSetup& setup);

}  // namespace gptmoe
