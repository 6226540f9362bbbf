#include "records/record_json.h"

#include <gtest/gtest.h>

#include "records/metrics_rows.h"
#include "report/made_runs.h"

namespace gptmoe {
namespace {

using Json = nlohmann::ordered_json;

struct Inner {
  int64_t count = 2;
};

struct Outer {
  std::string name = "a";
  double rate = std::numeric_limits<double>::quiet_NaN();
  std::optional<double> absent;
  std::vector<int64_t> empty, nothing;
  std::vector<Inner> inners = {{1}, {2}};
  Named<Inner> by_name = {{"z", {3}}, {"b", {4}}};
  JsonValue any;
  double inside = 0.5;
  bool present = true;
};

template <typename Visitor, Is<Inner> Record>
void visit_fields(Visitor& visitor, Record& record) {
  visitor.field("count", record.count, "");
}

template <typename Visitor, Is<Outer> Record>
void visit_fields(Visitor& visitor, Record& record) {
  visitor.field("name", record.name, "");
  visitor.field("rate", record.rate, "");
  visitor.maybe("absent", record.absent, "");
  visitor.maybe("empty", record.empty, "");
  visitor.nullable("nothing", record.nothing, "");
  visitor.field("inners", record.inners, "");
  visitor.field("by_name", record.by_name, "");
  visitor.field("any", record.any, "");
  visitor.derived("twice", 2 * record.inside, "");
  visitor.group("group", record.present, "", [&record](auto& group) { group.field("inside", record.inside, ""); });
}

TEST(RecordJson, WritesFieldsInTheirOrder) {
  EXPECT_EQ(record_json(Outer{}).dump(),
            R"({"name":"a","rate":null,"nothing":null,"inners":[{"count":1},{"count":2}],)"
            R"("by_name":{"z":{"count":3},"b":{"count":4}},"any":{},"twice":1.0,"group":{"inside":0.5}})");
  Outer none;
  none.present = false;
  none.by_name.clear();
  EXPECT_EQ(record_json(none)["group"], Json());
  EXPECT_EQ(record_json(none)["by_name"], Json::object());
}

TEST(RecordJson, ReadsWhatItWrote) {
  Outer one;
  one.absent = 1.5, one.empty = {7}, one.nothing = {8}, one.inside = 0.25;
  const Json json = record_json(one);
  const Outer read = read_record<Outer>(json, "f.json");
  EXPECT_TRUE(std::isnan(read.rate));
  EXPECT_EQ(record_json(read), json);
}

TEST(RecordJson, ErrorsNameThePlaceAndTheField) {
  const auto refusal = [](const char* pointer, const Json& value) {
    Json json = record_json(Outer{});
    json[Json::json_pointer(pointer)] = value;
    try {
      read_record<Outer>(json, "f.json:3");
    } catch (const UserError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(refusal("/more", 1), "accepted") << "fields of later versions are ignored";
  EXPECT_EQ(refusal("/name", 1), "f.json:3: \"name\" must be a string");
  EXPECT_EQ(refusal("/rate", "x"), "f.json:3: \"rate\" must hold numbers");
  EXPECT_EQ(refusal("/inners", 1), "f.json:3: \"inners\" must be a list");
  EXPECT_EQ(refusal("/inners/1", 1), "f.json:3: \"inners\" must be an object");
  EXPECT_EQ(refusal("/inners/1/count", -1), "f.json:3: \"inners.count\" must be a whole number >= 0");
  EXPECT_EQ(refusal("/by_name/z/count", 0.5), "f.json:3: \"by_name.z.count\" must be a whole number >= 0");
  EXPECT_EQ(refusal("/group", Json::object()), "f.json:3: \"group.inside\" is missing");
}

}  // namespace
}  // namespace gptmoe
