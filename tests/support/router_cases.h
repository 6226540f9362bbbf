#pragma once
// The trials of all registered routers, as changes to the tiny config. They are the parameters of the tests that every
// router must pass.
#include <gtest/gtest.h>

#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/json.h"
#include "routing/router_table.h"

namespace gptmoe::testing {

struct RouterCase {
  std::string name;       // "default", "default_step"
  nlohmann::json router;  // the whole block, "type" included
  RouterTrial trial;

  // Enables the balance loss if the router takes one.
  nlohmann::json changes() const {
    return {{"router", router}, {"model", {{"router_aux_loss_coef", trial.balance_loss ? 0.01 : 0.0}}}};
  }
  nlohmann::json changes_without_balance_loss() const {
    return {{"router", router}, {"model", {{"router_aux_loss_coef", 0}}}};
  }

  RouterCase(const Router& of, const RouterTrial& with)
      : name(text(of.name, *with.name ? "_" : "", with.name)), router(nlohmann::json::parse(with.keys)), trial(with) {
    router["type"] = of.name;
  }
};

// For INSTANTIATE_TEST_SUITE_P.
inline std::string router_case_name(const ::testing::TestParamInfo<RouterCase>& info) { return info.param.name; }
inline void PrintTo(const RouterCase& router, std::ostream* out) { *out << router.name; }

// Every trial of every router. If `has` is given, only the trials in which that flag is true.
inline std::vector<RouterCase> router_cases(bool RouterTrial::*has = nullptr) {
  std::vector<RouterCase> cases;
  for (const Router& router : routers())
    for (const RouterTrial& trial : router.trials)
      if (!has || trial.*has) cases.emplace_back(router, trial);
  return cases;
}

// The case called `name`; throws if there is none.
inline RouterCase router_case(const std::string& name) {
  for (const RouterCase& router : router_cases())
    if (router.name == name) return router;
  throw std::out_of_range(name + ": no such router or trial");
}

// The first trial of every router.
inline std::vector<RouterCase> one_case_per_router() {
  std::vector<RouterCase> cases;
  for (const Router& router : routers()) cases.emplace_back(router, router.trials.front());
  return cases;
}

}  // namespace gptmoe::testing
