#include "config/json_section.h"

#include <gtest/gtest.h>

#include "config/minimal.h"

namespace gptmoe {
namespace {

using nlohmann::json;

struct JsonSectionTest : testing::Test {
  JsonSection section{json::parse(R"({"count": 3, "rate": 0.5, "flag": true, "name": "x", "inner": {"deep": 1},
                                      "none": null, "huge": 18446744073709551615, "real": 3.0,
                                      "names": ["x", ""], "mixed": ["x", 1]})"),
                      "part", "f.json"};
};

TEST_F(JsonSectionTest, ReadsEveryType) {
  EXPECT_EQ(section.integer("count", {0, 9}), 3);
  EXPECT_EQ(section.number("rate", {0, 1}), 0.5);
  EXPECT_EQ(section.number("count", {0, 9}), 3.0);
  EXPECT_TRUE(section.boolean("flag", false));
  EXPECT_EQ(section.string("name"), "x");
  EXPECT_EQ(section.strings("names", 2), (std::vector<std::string>{"x", ""}));
  EXPECT_EQ(section.choice("name", {"w", "x"}, "w"), "x");
  EXPECT_EQ(section.section("inner").integer("deep", {0, 9}), 1);
  EXPECT_TRUE(section.has("count"));
  EXPECT_FALSE(section.has("counts"));
}

TEST_F(JsonSectionTest, FallbacksReplaceAbsentKeys) {
  EXPECT_EQ(section.integer("absent", {0, 9}, 7), 7);
  EXPECT_EQ(section.number("absent", {0, 1}, 0.25), 0.25);
  EXPECT_TRUE(section.boolean("absent", true));
  EXPECT_EQ(section.string("absent", "y"), "y");
  EXPECT_EQ(section.choice("absent", {"w", "x"}, "w"), "w");
  EXPECT_NO_THROW(section.section("absent").finish());
  EXPECT_NO_THROW(section.section("none").finish());
}

TEST_F(JsonSectionTest, RangesIncludeTheirEnds) {
  EXPECT_EQ(section.integer("count", {3, 3}), 3);
  EXPECT_EQ(error_of([&] {
              section.integer("count", {4, 9});
            }),
            "f.json: part.count: must be a whole number from 4 to 9, not 3");
  EXPECT_EQ(error_of([&] {
              section.integer("count", {0, 2}, 0);
            }),
            "f.json: part.count: must be a whole number from 0 to 2, not 3");
  EXPECT_EQ(section.number("rate", {0.5, 0.5}), 0.5);
  EXPECT_EQ(error_of([&] {
              section.number("rate", {0, 0.25});
            }),
            "f.json: part.rate: must be a number from 0 to 0.25, not 0.5");
  EXPECT_EQ(error_of([&] { section.number("rate", {.min = 1}, 1); }),
            "f.json: part.rate: must be a number of at least 1, not 0.5");
}

TEST_F(JsonSectionTest, WrongTypesAreErrors) {
  constexpr int64_t any = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(error_of([&] {
              section.integer("name", {1, any});
            }),
            "f.json: part.name: must be a whole number of at least 1, not \"x\"");
  EXPECT_EQ(error_of([&] {
              section.integer("real", {1, any});
            }),
            "f.json: part.real: must be a whole number of at least 1, not 3.0");
  EXPECT_EQ(error_of([&] {
              section.integer("huge", {0, any});
            }),
            "f.json: part.huge: must be a whole number of at least 0, not 18446744073709551615");
  EXPECT_EQ(error_of([&] {
              section.integer("none", {0, any}, 1);
            }),
            "f.json: part.none: must be a whole number of at least 0, not null");
  EXPECT_EQ(error_of([&] {
              section.number("flag", {0, 1});
            }),
            "f.json: part.flag: must be a number from 0 to 1, not true");
  EXPECT_EQ(error_of([&] { section.boolean("count", true); }), "f.json: part.count: must be true or false, not 3");
  EXPECT_EQ(error_of([&] { section.string("inner"); }), "f.json: part.inner: must be a string, not {\"deep\":1}");
  EXPECT_EQ(error_of([&] { section.section("count"); }), "f.json: part.count: must be an object {...}, not 3");
}

TEST_F(JsonSectionTest, AListOfStringsMustHaveTheRequiredLength) {
  EXPECT_EQ(error_of([&] { section.strings("names", 3); }),
            "f.json: part.names: must be an array of at least 3 strings, not [\"x\",\"\"]");
  EXPECT_EQ(error_of([&] { section.strings("mixed", 1); }),
            "f.json: part.mixed: must be an array of at least 1 strings, not [\"x\",1]");
  EXPECT_EQ(error_of([&] { section.strings("name", 0); }),
            "f.json: part.name: must be an array of at least 0 strings, not \"x\"");
  EXPECT_EQ(error_of([&] { section.strings("absent", 1); }),
            "f.json: part.absent: missing; give an array of at least 1 strings");
}

TEST_F(JsonSectionTest, ChoicesAreListed) {
  EXPECT_EQ(error_of([&] {
              section.choice("name", {"xy", "long"}, "xy");
            }),
            "f.json: part.name: must be one of \"xy\", \"long\", not \"x\"");
  EXPECT_EQ(error_of([&] { section.choice("count", {"xy"}, "xy"); }), "f.json: part.count: must be \"xy\", not 3");
  JsonSection other(json::parse(R"({"norm": "LayerNrom"})"), "model", "f.json");
  EXPECT_EQ(
      error_of([&] {
        other.choice("norm", {"rmsnorm", "layernorm"}, "rmsnorm");
      }),
      "f.json: model.norm: must be one of \"rmsnorm\", \"layernorm\", not \"LayerNrom\"; did you mean \"layernorm\"?");
}

TEST_F(JsonSectionTest, MissingKeysSayWhatToGive) {
  EXPECT_EQ(error_of([&] {
              section.integer("size", {1, 9});
            }),
            "f.json: part.size: missing; give a whole number from 1 to 9");
  EXPECT_EQ(error_of([&] { section.string("title"); }), "f.json: part.title: missing; give a string");
  EXPECT_EQ(error_of([&] {
              section.integer("counts", {1, 9});
            }),
            "f.json: part.counts: missing; is \"count\" a misspelling of it?");
}

TEST_F(JsonSectionTest, FinishRefusesKeysThatWereNotRead) {
  JsonSection small(json::parse(R"({"steps": 1, "stesp": 2})"), "train", "f.json");
  EXPECT_EQ(error_of([&] { small.finish(); }), "f.json: train.steps: unknown key; no key is known here, so remove it");
  small.integer("steps", {0, 9});
  EXPECT_EQ(error_of([&] { small.finish(); }), "f.json: train.stesp: unknown key; did you mean \"steps\"?");
  small.integer("stesp", {0, 9});
  EXPECT_NO_THROW(small.finish());

  JsonSection far(json::parse(R"({"colour": 1})"), "", "f.json");
  far.integer("steps", {0, 9}, 1);
  far.string("name", "");
  EXPECT_EQ(error_of([&] { far.finish(); }), "f.json: colour: unknown key; known here: \"steps\", \"name\"");
}

TEST_F(JsonSectionTest, AHintComesBeforeTheNearestKey) {
  const auto hints = [](const std::string& path) {
    if (path == "inner.lr") return KeyHint{"inner.rate", "a number"};
    if (path == "inner.stesp") return KeyHint{"", "there are no steps"};
    return KeyHint{};
  };
  const auto error = [&](const char* inner) {
    JsonSection root(json{{"inner", json::parse(inner)}}, "", "f.json", hints);
    JsonSection section = root.section("inner");
    return error_of([&] {
      section.integer("steps", {0, 9}, 1);
      section.number("rate", {});
      section.finish();
    });
  };
  EXPECT_EQ(error(R"({"rate": 1, "lr": 2})"), "f.json: inner.lr: unknown key; did you mean \"inner.rate\" (a number)?");
  EXPECT_EQ(error(R"({"lr": 2})"), "f.json: inner.lr: unknown key; did you mean \"inner.rate\" (a number)?")
      << "the error is about the misspelt key, not the missing one";
  EXPECT_EQ(error(R"({"rate": 1, "stesp": 2})"), "f.json: inner.stesp: unknown key; there are no steps");
  EXPECT_EQ(error(R"({"rate": 1, "step": 2})"), "f.json: inner.step: unknown key; did you mean \"steps\"?");
}

TEST_F(JsonSectionTest, OthersAreTheKeysThatWereNotRead) {
  JsonSection mixed(json::parse(R"({"type": "x", "knob": 1, "deep": {"x": [1]}})"), "router", "f.json");
  mixed.string("type");
  EXPECT_EQ(*mixed.others(), json::parse(R"({"knob": 1, "deep": {"x": [1]}})"));
  EXPECT_NO_THROW(mixed.finish());
  EXPECT_EQ(*mixed.others(), json::object()) << "others() marks the keys as read";
}

TEST_F(JsonSectionTest, AnOpenEndIsNotInTheRange) {
  const auto refusal = [](const char* value, const Numbers& range) {
    JsonSection one(json::parse(value), "", "f.json");
    return error_of([&] { one.number("x", range); });
  };
  EXPECT_EQ(refusal(R"({"x": 0})", {.min = 0, .open_min = true}), "f.json: x: must be a number above 0, not 0");
  EXPECT_EQ(refusal(R"({"x": 1e-30})", {.min = 0, .open_min = true}), "no error");
  EXPECT_EQ(refusal(R"({"x": 1})", {.min = 0, .max = 1, .open_max = true}),
            "f.json: x: must be a number of at least 0 and below 1, not 1");
  EXPECT_EQ(refusal(R"({"x": 2})", {.min = 0, .max = 1, .open_min = true}),
            "f.json: x: must be a number above 0 and at most 1, not 2");
}

TEST_F(JsonSectionTest, NumbersThatBecomeOthersInF32AreRefused) {
  const auto refusal = [](const char* value, const Numbers& range) {
    JsonSection one(json::parse(value), "", "f.json");
    return error_of([&] { one.number("x", range); });
  };
  const Numbers positive{.min = 0, .open_min = true}, below_one{.min = 0, .max = 1, .open_max = true};
  const std::string floats = " in 32-bit floats, in which the model computes; give ";
  EXPECT_EQ(refusal(R"({"x": 1e-50})", positive), "f.json: x: 1e-50 becomes 0" + floats + "at least 1.17549e-38");
  EXPECT_EQ(refusal(R"({"x": 1e-40})", {}), "f.json: x: 1e-40 becomes 0" + floats + "at least 1.17549e-38");
  EXPECT_EQ(refusal(R"({"x": 1e39})", positive), "f.json: x: 1e+39 becomes infinite" + floats + "at most 3.40282e+38");
  EXPECT_EQ(refusal(R"({"x": -1e39})", {}), "f.json: x: -1e+39 becomes infinite" + floats + "at most 3.40282e+38");
  EXPECT_EQ(refusal(R"({"x": 0.999999999999})", below_one),
            "f.json: x: 0.999999999999 becomes 1" + floats + "at most 0.9999999403953552");
  EXPECT_EQ(refusal(R"({"x": 0.9999999403953552})", below_one), "no error");
  EXPECT_EQ(refusal(R"({"x": 1})", {.min = 0, .max = 1}), "no error");
  EXPECT_EQ(refusal(R"({"x": 0})", {.min = 0}), "no error");
  EXPECT_EQ(refusal(R"({"x": 3e38})", positive), "no error");
}

TEST_F(JsonSectionTest, LongValuesAreShortened) {
  JsonSection other(json{{"count", std::string(500, 'a')}}, "", "f.json");
  const std::string error = error_of([&] { other.integer("count", {0, 9}); });
  EXPECT_LT(error.size(), 150u);
  EXPECT_TRUE(error.ends_with("aaa...")) << error;
}

}  // namespace
}  // namespace gptmoe
