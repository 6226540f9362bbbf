#include "routing/router_defaults.h"

#include "base/json.h"
#include "routing/router_table.h"

namespace gptmoe {
namespace {

// Collects the values of a valid block, and the defaults of the keys it lacks.
class FieldCollector final : public Fields {
 public:
  explicit FieldCollector(const JsonValue& given) : given_(given) {}
  nlohmann::json take() { return std::move(values_); }
  void others(JsonValue&) override {}

 private:
  template <typename Value>
  void collect(const Field& field, Value& value) {
    value = given_->value(field.key, value);
    values_[field.key] = value;
  }
  void visit(const Field& field, int64_t& value, const Integers&) override { collect(field, value); }
  void visit(const Field& field, double& value, const Numbers&) override { collect(field, value); }
  void visit(const Field& field, std::string& value, const Words&) override { collect(field, value); }
  void visit(const Field& field, bool& value) override { collect(field, value); }
  void visit_section(const char*, const std::function<void(Fields&)>&) override {}

  const JsonValue& given_;
  nlohmann::json values_ = nlohmann::json::object();
};

}  // namespace

RouterConfig with_defaults(const RouterConfig& config, const RouterSetup& setup) {
  make_routing_policy(config, setup);  // checks the block
  FieldCollector collector(config.block);
  for (const Router& router : routers())
    if (config.type == router.name) router.make(setup, collector);
  return {config.type, collector.take()};
}

}  // namespace gptmoe
