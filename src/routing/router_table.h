#pragma once
// The table of routers. A router's file defines one function that returns its Router. A line in router_table.cpp names
// this function; training, evaluation, the docs and the tests need nothing else.
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "config/fields.h"
#include "routing/routing_policy.h"

namespace gptmoe {

// A router with some of its keys set. Every test that all routers must pass runs once for each trial.
struct RouterTrial {
  const char* name = "";     // distinguishes it from the router's other trials
  const char* keys = "{}";   // JSON: the router's block; makes the router's state move visibly in a few steps
  bool balance_loss = true;  // the router allows model.router_aux_loss_coef > 0
  // A step gives the same result however its sequences are split into micro-batches.
  bool cut_freely = true;
  // The router's gradient is the derivative of the cross-entropy, the balance loss and the z-loss, with state and
  // choices fixed. If it is not, the router's gradient has a test of its own.
  bool plain_gradient = true;
};

struct Router {
  const char* name;      // in the config: "router": {"type": NAME}
  const char* sentence;  // for docs/config.md
  // Builds the policy of one layer. Visits the router's keys, and calls fields.fail() for setups that it does not
  // support.
  std::unique_ptr<RoutingPolicy> (*make)(const RouterSetup& setup, Fields& fields);
  std::vector<RouterTrial> trials = {RouterTrial()};  // at least one
};

// All routers, in the order of the docs.
const std::vector<Router>& routers();
std::vector<std::string> router_names();

// Builds the policy named by config.type for one layer. Throws UserError on an unknown name (with the nearest known
// name as a hint), on any key of the block that the policy does not know, and on a setup that it does not support.
// `file` is the config's name in errors.
std::unique_ptr<RoutingPolicy> make_routing_policy(const RouterConfig& config, const RouterSetup& setup,
                                                   const std::string& file = "config");

// The setup of one MoE layer of a model.
RouterSetup router_setup(const ModelConfig& config);

// Throws what make_routing_policy() would throw, even if the model has no MoE layer. For load_config().
void check_router(const Config& config, const std::string& file);

}  // namespace gptmoe
