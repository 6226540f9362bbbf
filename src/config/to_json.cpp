
#include "base/json.h"
#include "config/config.h"
#include "config/config_fields.h"

namespace gptmoe {
namespace {

using nlohmann::ordered_json;

class FieldWriter final : public Fields {
 public:
  ordered_json take() { return std::move(out_); }

  void others(JsonValue& values) override {
    for (const auto& [key, value] : values->items()) out_[key] = value;
  }

 private:
  void visit(const Field& field, int64_t& value, const Integers&) override {
    if (field.word && value == 0)
      out_[field.key] = field.word;
    else
      out_[field.key] = value;
  }
  void visit(const Field& field, double& value, const Numbers&) override { out_[field.key] = value; }
  void visit(const Field& field, std::string& value, const Words&) override { out_[field.key] = value; }
  void visit(const Field& field, bool& value) override { out_[field.key] = value; }
  void visit(const Field& field, DataSources& value) override { out_[field.key] = gptmoe::to_json(value); }
  void visit(const Field& field, ParamGroups& value) override { out_[field.key] = gptmoe::to_json(value); }
  void visit_section(const char* key, const std::function<void(Fields&)>& fields) override {
    FieldWriter nested;
    fields(nested);
    out_[key] = nested.take();
  }

  ordered_json out_ = ordered_json::object();
};

}  // namespace

std::string dotted(std::string path) {
  path.erase(0, 1);
  for (char& c : path) c = c == '/' ? '.' : c;
  return path;
}

ordered_json to_json(const Config& config) {
  Config fields = config;  // a copy: visitors take fields by mutable reference
  FieldWriter writer;
  visit_fields(writer, fields);
  return writer.take();
}

}  // namespace gptmoe
