// Generates docs/config.md from the fields of the config.
#include <gtest/gtest.h>

#include "base/json.h"
#include "config/config_fields.h"
#include "routing/refusal.h"
#include "support/doc_page.h"

namespace gptmoe {
namespace {

constexpr const char* kHead =
    "# The config\n\n"
    "A run is one JSON file; comments (`//` and `/* */`) are allowed. Every key is listed here with its default. A "
    "key\n"
    "that is not listed is an error. `--set path.to.key=value` overrides a key on the command line.\n\n"
    "This page is generated: `GPTMOE_UPDATE_DOCS=1 build/test_routing --gtest_filter='ConfigPage.*'`\n";

constexpr const char* kTop = "## Top level";

std::string code(const nlohmann::json& value) { return "`" + value.dump() + "`"; }

// Shortens "a whole number from 1 to 9" to "from 1 to 9".
std::string without_kind(const std::string& range, const std::string& kind) {
  const std::string rest = range.substr(std::min(range.size(), kind.size() + 1));
  return rest.starts_with("of ") ? rest.substr(3) : rest;
}

// Lists keys in tables, one table per JSON object.
class PageWriter final : public Fields {
 public:
  explicit PageWriter(std::string title) : title_(std::move(title)) {}

  std::string page() const {
    const std::string head = table_row({"key", "type", "default", "range", "meaning"}) + "|---|---|---|---|---|\n";
    return "\n" + title_ + "\n" + (about_.empty() ? "" : "\n" + about_ + "\n") + (rows_.empty() ? "" : "\n" + head) +
           rows_ + nested_;
  }

  void about(const char* sentence) override { about_ = sentence; }
  void others(JsonValue&) override {
    for (const Router& router : routers()) {
      PageWriter writer("### router.type " + code(router.name));
      writer.about(router.sentence);
      router.make(plain_setup(), writer);
      nested_ += writer.page();
    }
  }

 private:
  void visit(const Field& field, int64_t& value, const Integers& range) override {
    const std::string numbers = without_kind(range.describe(), "a whole number");
    row(field, "whole number", value, field.word ? numbers + ", or " + code(field.word) : numbers);
  }
  void visit(const Field& field, double& value, const Numbers& range) override {
    row(field, "number", value, without_kind(range.describe(), "a number"));
  }
  void visit(const Field& field, std::string& value, const Words& words) override {
    std::string range;
    for (const std::string& word : words) range += (range.empty() ? "" : ", ") + code(word);
    row(field, "string", value, range);
  }
  void visit(const Field& field, bool& value) override { row(field, "true or false", value, ""); }
  void visit(const Field& field, DataSources& value) override {
    row(field, field.key == std::string("files") ? "path or list of paths" : "glob or sources",
        nlohmann::json(to_json(value)), "");
  }
  void visit(const Field& field, ParamGroups& value) override {
    row(field, "list of groups", nlohmann::json(to_json(value)), "");
  }
  void visit_section(const char* key, const std::function<void(Fields&)>& fields) override {
    // A section in a section: "### train.tasks".
    const bool top = title_ == kTop;
    PageWriter section(top ? text("## ", key) : text("### ", title_.substr(title_.find(' ') + 1), ".", key));
    fields(section);
    nested_ += section.page();
  }

  void row(const Field& field, const char* type, const nlohmann::json& value, const std::string& range) {
    const std::string otherwise = field.required ? "required" : field.otherwise ? field.otherwise : code(value);
    rows_ += table_row({"`" + std::string(field.key) + "`", type, otherwise, range, field.sentence});
  }

  std::string title_, about_, rows_, nested_;
};

TEST(ConfigPage, ListsEveryKey) {
  Config defaults;
  PageWriter writer(kTop);
  visit_fields(writer, defaults);
  expect_doc_page("config.md", kHead + writer.page());
}

}  // namespace
}  // namespace gptmoe
