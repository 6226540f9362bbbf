#pragma once
// The error messages of routers that refuse their setup.
#include <string>

#include "base/json.h"
#include "routing/router_table.h"

namespace gptmoe {

// A setup that every router accepts.
inline RouterSetup plain_setup() {
  return {.num_experts = 4,
          .num_experts_per_tok = 2,
          .hidden_size = 3,
          .norm_topk_prob = false,
          .aux_scale = 0,
          .z_loss_scale = 0};
}

inline RouterSetup renormalising_setup() {
  RouterSetup setup = plain_setup();
  setup.norm_topk_prob = true;
  return setup;
}

// plain_setup() with the balance loss, and plain_setup() with the z-loss.
inline std::vector<RouterSetup> setups_with_a_loss() {
  RouterSetup balance = plain_setup(), z_loss = plain_setup();
  balance.aux_scale = z_loss.z_loss_scale = 0.01;
  return {balance, z_loss};
}

inline std::unique_ptr<RoutingPolicy> plain_policy(const std::string& router) {
  return make_routing_policy({router, nlohmann::json::object()}, plain_setup());
}

// The message of the UserError that building this router throws, or "accepted".
inline std::string refusal(const std::string& router, const nlohmann::json& block,
                           const RouterSetup& setup = plain_setup()) {
  try {
    make_routing_policy({router, block}, setup, "run.json");
  } catch (const UserError& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace gptmoe
