#include "config/other_names.h"

#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "config/config.h"
#include "config/minimal.h"

namespace gptmoe {
namespace {

std::string error_with(const std::string& patch) {
  return error_of([&] { parse_config(minimal_with(patch), "f.json"); });
}

std::set<std::string> every_key() {
  std::set<std::string> keys;
  const auto flat = to_json(Config()).flatten();
  for (const auto& [path, ignored] : flat.items()) keys.insert(dotted(path));
  return keys;
}

struct Foreign {
  const char* patch;  // applied to minimal()
  const char* error;  // what follows "f.json: "
};

TEST(OtherNames, KeysOfOtherProgramsAreTranslated) {
  for (const auto& [patch, error] : {
           Foreign{R"({"optimizer": {"lr": 1e-3}})",
                   "optimizer.lr: unknown key; did you mean \"optimizer.learning_rate\"?"},
           Foreign{R"({"optimizer": {"lr": 1e-3, "learning_rate": null}})",
                   "optimizer.lr: unknown key; did you mean \"optimizer.learning_rate\"?"},
           Foreign{R"({"lr": 1e-3})", "lr: unknown key; did you mean \"optimizer.learning_rate\"?"},
           Foreign{R"({"model": {"n_layer": 2}})",
                   "model.n_layer: unknown key; did you mean \"model.num_hidden_layers\"?"},
           Foreign{R"({"model": {"num_layers": 2, "num_hidden_layers": null}})",
                   "model.num_layers: unknown key; did you mean \"model.num_hidden_layers\"?"},
           Foreign{R"({"model": {"n_head": 4}})",
                   "model.n_head: unknown key; did you mean \"model.num_attention_heads\"?"},
           Foreign{R"({"model": {"n_embd": 32}})", "model.n_embd: unknown key; did you mean \"model.hidden_size\"?"},
           Foreign{R"({"model": {"d-model": 32}})", "model.d-model: unknown key; did you mean \"model.hidden_size\"?"},
           Foreign{R"({"model": {"NumLocalExperts": 8}})",
                   "model.NumLocalExperts: unknown key; did you mean \"model.num_experts\"?"},
           Foreign{R"({"model": {"dropout": 0.1}})",
                   "model.dropout: unknown key; gptmoe has no dropout; remove the key"},
           Foreign{R"({"train": {"max_steps": 9}})", "train.max_steps: unknown key; did you mean \"train.steps\"?"},
           Foreign{R"({"train": {"block_size": 9}})",
                   "train.block_size: unknown key; did you mean \"train.sequence_length\"?"},
           Foreign{
               R"({"schedule": {"min_lr": 1e-5}})",
               "schedule.min_lr: unknown key; did you mean \"schedule.min_lr_ratio\" (as a share of learning_rate)?"},
       })
    EXPECT_EQ(error_with(patch), std::string("f.json: ") + error) << patch;
  const std::string foreign = error_with(R"({"architectures": ["OlmoeForCausalLM"]})");
  EXPECT_NE(foreign.find("the config of a Hugging Face model"), std::string::npos) << foreign;
}

TEST(OtherNames, AKeyInTheWrongSectionIsFound) {
  EXPECT_EQ(error_with(R"({"micro_batch_size": 4})"),
            "f.json: micro_batch_size: unknown key; did you mean \"train.micro_batch_size\"?");
  EXPECT_EQ(error_with(R"({"train": {"learning_rate": 1}})"),
            "f.json: train.learning_rate: unknown key; did you mean \"optimizer.learning_rate\"?");
  EXPECT_EQ(error_with(R"({"train": {"seed": 1}})"), "f.json: train.seed: unknown key; did you mean \"seed\"?");
  EXPECT_EQ(error_with(R"({"train": {"every": 1}})").find("did you mean \"checkpoint.every\""), std::string::npos)
      << "the sections checkpoint and log both have this key";
}

// Every path in the table is one of our keys, but no name in the table is: a key that is only in the wrong section is
// not translated.
TEST(OtherNames, TheTableAgreesWithTheConfig) {
  const std::set<std::string> keys = every_key();
  std::set<std::string> names, seen;
  for (const std::string& key : keys) names.insert(key.substr(key.rfind('.') + 1));
  for (const Synonyms& synonyms : other_names()) {
    if (*synonyms.path != '\0') {
      EXPECT_TRUE(keys.contains(synonyms.path)) << synonyms.path;
    } else {
      EXPECT_STRNE(synonyms.remark, "") << synonyms.names;
    }
    std::istringstream words(synonyms.names);
    for (std::string name; words >> name;) {
      EXPECT_FALSE(names.contains(name)) << name;
      EXPECT_TRUE(seen.insert(name).second) << name << " is listed twice";
    }
  }
}

}  // namespace
}  // namespace gptmoe
