#include "config/config.h"

#include <gtest/gtest.h>

#include "base/key_error.h"
#include "config/minimal.h"

namespace gptmoe {
namespace {

using nlohmann::json;

std::string error_with(const std::string& patch) {
  return error_of([&] { parse_config(minimal_with(patch), "f.json"); });
}

TEST(Config, FillsInDefaults) {
  const Config config = parse_config(minimal(), "f.json");
  EXPECT_EQ(config.model.num_key_value_heads, 4);
  EXPECT_EQ(config.model.head_dim, 8);
  EXPECT_EQ(config.model.num_experts_per_tok, 1);
  EXPECT_EQ(config.model.max_position_embeddings, 16);
  EXPECT_EQ(config.model.router_aux_loss_coef, 0.01);
  EXPECT_EQ(config.model.norm_type, "rmsnorm");
  EXPECT_EQ(config.model.hidden_act, "silu");
  EXPECT_EQ(config.model.init, "small_wang");
  EXPECT_EQ(config.model.rope_theta, 10000);
  EXPECT_EQ(config.router.type, "topk");
  EXPECT_EQ(*config.router.block, json::object());
  EXPECT_EQ(config.data.val, DataSources{});
  EXPECT_EQ(config.train.global_batch_size, 4);
  EXPECT_EQ(config.train.eval_tokens, 65536);
  EXPECT_EQ(config.train.recompute, "none");
  EXPECT_EQ(config.optimizer.beta2, 0.95);
  EXPECT_EQ(config.schedule.type, "cosine");
  EXPECT_EQ(config.checkpoint.keep, 2);
  EXPECT_EQ(config.log.every, 1);
  EXPECT_EQ(config.device, "auto");
  EXPECT_EQ(config.precision, "auto");
  EXPECT_EQ(config.seed, 1);
}

TEST(Config, DataHasOneOrSeveralSources) {
  const auto sources = [](const char* train) {
    return parse_config(minimal_with(text(R"({"data": {"train": )", train, "}}")), "f.json").data.train;
  };
  EXPECT_EQ(sources(R"("a")"), DataSources{{"a"}});
  EXPECT_EQ(sources(R"(["a", {"path": "b", "epochs": 2}])"), (DataSources{{"a"}, {"b", "", 0, 2}}));
  EXPECT_EQ(sources(R"({"y": "a", "x": "b"})"), (DataSources{{"b", "x"}, {"a", "y"}}));
  EXPECT_EQ(sources(R"([{"path": "a", "name": "x", "weight": 3}, {"path": "b", "weight": 1}])"),
            (DataSources{{"a", "x", 3}, {"b", "", 1}}));
  for (const char* form : {R"("a")", R"(["a","b"])", R"({"x":"b","y":"a"})", R"([{"path":"a","name":"y"},"b"])",
                           R"([{"path":"a","weight":3.0},{"path":"b","weight":1.0}])"})
    EXPECT_EQ(to_json(sources(form)).dump(), form);
}

TEST(Config, LayersBeforeTheMoeLayersAreDense) {
  const Config config =
      parse_config(minimal_with(R"({"model": {"first_k_dense_replace": 1, "intermediate_size": 64}})"), "f.json");
  EXPECT_FALSE(config.model.layer_is_moe(0));
  EXPECT_TRUE(config.model.layer_is_moe(1));
  EXPECT_EQ(config.model.moe_layers(), 1);
  const Config dense = parse_config(
      minimal_with(R"({"model": {"num_experts": 0, "moe_intermediate_size": null, "intermediate_size": 64}})"),
      "f.json");
  EXPECT_FALSE(dense.model.layer_is_moe(1));
  EXPECT_EQ(dense.model.moe_layers(), 0);
}

TEST(Config, RouterBlockIsKeptUnchanged) {
  const Config config =
      parse_config(minimal_with(R"({"router": {"type": "mine", "knob": 1, "deep": {"x": [1]}}})"), "f.json");
  EXPECT_EQ(config.router.type, "mine");
  EXPECT_EQ(*config.router.block, json::parse(R"({"knob": 1, "deep": {"x": [1]}})"));
}

struct Rule {
  const char* patch;  // applied to minimal()
  const char* error;  // without the leading "f.json: "
};

class RuleTest : public testing::TestWithParam<Rule> {};

TEST_P(RuleTest, NamesThePlaceAndTheRemedy) {
  EXPECT_EQ(error_with(GetParam().patch), "f.json: " + std::string(GetParam().error));
}

const Rule kModelRules[] = {
    {R"({"model": {"vocab_size": null}})", "model.vocab_size: missing; give a whole number from 2 to 16777216"},
    {R"({"model": {"vocab_size": 1}})", "model.vocab_size: must be a whole number from 2 to 16777216, not 1"},
    {R"({"model": {"hidden_size": 0}})", "model.hidden_size: must be a whole number from 1 to 1048576, not 0"},
    {R"({"model": {"hidden_size": 32.0}})", "model.hidden_size: must be a whole number from 1 to 1048576, not 32.0"},
    {R"({"model": {"num_hidden_layers": "two"}})",
     "model.num_hidden_layers: must be a whole number from 1 to 16384, not \"two\""},
    {R"({"model": {"num_attention_heads": null, "num_heads": 4}})",
     "model.num_attention_heads: missing; is \"num_heads\" a misspelling of it?"},
    {R"({"model": {"num_heads": 4}})", "model.num_heads: unknown key; did you mean \"num_attention_heads\"?"},
    {R"({"model": {"num_attention_heads": 5}})",
     "model.num_attention_heads: 5 does not divide hidden_size 32; change one of them, or give head_dim"},
    {R"({"model": {"num_attention_heads": 64}})",
     "model.num_attention_heads: 64 does not divide hidden_size 32; change one of them, or give head_dim"},
    {R"({"model": {"num_key_value_heads": 3}})",
     "model.num_key_value_heads: 3 does not divide num_attention_heads 4; change one of them"},
    {R"({"model": {"num_key_value_heads": 8}})",
     "model.num_key_value_heads: 8 does not divide num_attention_heads 4; change one of them"},
    {R"({"model": {"head_dim": 7}})", "model.head_dim: must be even, not 7, since RoPE rotates pairs"},
    {R"({"model": {"num_attention_heads": 32}})", "model.head_dim: must be even, not 1, since RoPE rotates pairs"},
    {R"({"model": {"num_experts_per_tok": 9}})", "model.num_experts_per_tok: must be at most num_experts 8, not 9"},
    {R"({"model": {"moe_intermediate_size": null}})",
     "model.moe_intermediate_size: must be at least 1: it is the width of each of the 8 experts"},
    {R"({"model": {"num_experts": 0}})",
     "model.intermediate_size: must be at least 1: it is the width of the dense layers, which num_experts 0 requires"},
    {R"({"model": {"first_k_dense_replace": 1}})",
     "model.intermediate_size: must be at least 1: it is the width of the dense layers, which first_k_dense_replace "
     "requires"},
    {R"({"model": {"first_k_dense_replace": 3, "intermediate_size": 64}})",
     "model.first_k_dense_replace: must be at most num_hidden_layers 2, not 3"},
    {R"({"model": {"num_experts": 0, "intermediate_size": 64, "n_shared_experts": 1}})",
     "model.n_shared_experts: must be 0 without experts, not 1; or give num_experts"},
    {R"({"model": {"norm_topk_prob": 1}})", "model.norm_topk_prob: must be true or false, not 1"},
    {R"({"model": {"router_aux_loss_coef": -1}})",
     "model.router_aux_loss_coef: must be a number of at least 0, not -1"},
    {R"({"model": {"hidden_act": "swiglu"}})",
     "model.hidden_act: must be one of \"silu\", \"gelu\", not \"swiglu\"; did you mean \"silu\"?"},
    {R"({"model": {"norm_type": "none"}})", "model.norm_type: must be one of \"rmsnorm\", \"layernorm\", not \"none\""},
    {R"({"model": {"rms_norm_eps": 0}})", "model.rms_norm_eps: must be a number above 0 and at most 1, not 0"},
    {R"({"model": {"init": "gpt3"}})",
     "model.init: must be one of \"small_wang\", \"small\", \"normal\", \"gpt2\", not \"gpt3\"; did you mean "
     "\"gpt2\"?"},
    {R"({"model": {"initializer_range": 0}})", "model.initializer_range: must be a number above 0, not 0"},
    {R"({"model": {"max_position_embeddings": 8}})",
     "train.sequence_length: must be at most model.max_position_embeddings 8, not 16"},
    {R"({"model": {"hidden_size": 1048576, "num_hidden_layers": 16384, "num_experts": 65536,
                   "moe_intermediate_size": 1048576}})",
     "model: the parameters would be more than a 64-bit count of bytes can hold; lower the sizes"},
};

const Rule kRunRules[] = {
    {R"({"modle": {}})", "modle: unknown key; did you mean \"model\"?"},
    {R"({"model": null, "modell": {}})", "modell: unknown key; did you mean \"model\"?"},
    {R"({"train": 3})", "train: must be an object {...}, not 3"},
    {R"({"router": "topk"})", "router: must be an object {...}, not \"topk\""},
    {R"({"router": {"type": 1}})", "router.type: must be a string, not 1"},
    {R"({"data": {"train": null}})", "data.train: missing; give a string"},
    {R"({"data": {"train": ""}})", "data.train: must name the training shards, as in \"data/train_*.bin\""},
    {R"({"data": {"train": 3}})", "data.train: must be a glob, a list of sources or an object {\"NAME\": glob}"},
    {R"({"data": {"train": ["a", 3]}})", "data.train[1]: must be a glob or an object {\"path\": ...}"},
    {R"({"data": {"train": ["a", ""]}})", "data.train[1]: is empty; name its shards, as in \"data/train_*.bin\""},
    {R"({"data": {"train": ["a", "a"]}})",
     "data.train[1]: has the same name as data.train[0]; give each source a \"name\" of its own"},
    {R"({"data": {"train": [{"path": "a", "weigth": 1}]}})",
     "data.train[0].weigth: unknown key; did you mean \"weight\"?"},
    {R"({"data": {"train": [{"path": "a", "weight": 0}]}})",
     "data.train[0].weight: must be a number from 1e-06 to 1e+06, not 0"},
    {R"({"data": {"train": [{"path": "a", "weight": 1, "epochs": 2}]}})",
     "data.train[0].epochs: a source has a weight or a number of epochs, not both; remove one"},
    {R"({"data": {"train": [{"path": "a", "weight": 1}, "b"]}})",
     "data.train[1]: has no weight, but another source has one; give every source a weight, or none"},
    {R"({"data": {"val": {"a": 3}}})", "data.val.a: must be a string, not 3"},
    {R"({"data": {"val": {"a": ""}}})", "data.val.a: is empty; name its shards, as in \"data/train_*.bin\""},
    {R"({"data": {"val": [{"path": "a", "epochs": 2}]}})",
     "data.val[0]: validation sets are read once each; remove \"weight\" and \"epochs\""},
    {R"({"data": {"vall": "x"}})", "data.vall: unknown key; did you mean \"val\"?"},
    {R"({"train": {"steps": null}})", "train.steps: missing; give a whole number from 1 to 1099511627776"},
    {R"({"train": {"steps": 1e3}})", "train.steps: must be a whole number from 1 to 1099511627776, not 1000.0"},
    {R"({"train": {"sequence_length": 0}})", "train.sequence_length: must be a whole number from 1 to 16777216, not 0"},
    {R"({"train": {"micro_batch_size": null}})",
     "train.micro_batch_size: missing; give a whole number from 1 to 16777216 or \"auto\""},
    {R"({"train": {"micro_batch_size": "all"}})",
     "train.micro_batch_size: must be a whole number from 1 to 16777216 or \"auto\", not \"all\""},
    {R"({"train": {"micro_batch_size": 0}})",
     "train.micro_batch_size: must be a whole number from 1 to 16777216 or \"auto\", not 0"},
    {R"({"train": {"micro_batch_size": "auto"}})",
     "train.global_batch_size: missing; micro_batch_size \"auto\" needs it: give the sequences of a step"},
    {R"({"train": {"global_batch_size": 6}})",
     "train.global_batch_size: 6 is not a multiple of micro_batch_size 4; change one of them"},
    {R"({"train": {"global_batch_size": 2}})",
     "train.global_batch_size: 2 is not a multiple of micro_batch_size 4; change one of them"},
    {R"({"train": {"eval_every": -1}})", "train.eval_every: must be a whole number from 0 to 1099511627776, not -1"},
    {R"({"train": {"recompute": "all"}})", "train.recompute: must be one of \"none\", \"block\", not \"all\""},
    {R"({"train": {"batch_size": 4}})",
     "train.batch_size: unknown key; did you mean \"train.micro_batch_size\" (or \"train.global_batch_size\", the "
     "sequences of a whole step)?"},
    {R"({"train": {"micro_batch_size": 16777216, "sequence_length": 128}})",
     "train.micro_batch_size: one micro-batch would have more (token, expert) pairs than a 32-bit index can count; "
     "lower it or sequence_length"},
    {R"({"train": {"micro_batch_size": 16777216, "sequence_length": 16777216}})",
     "train.micro_batch_size: one micro-batch would be more than a 64-bit count of bytes can hold; lower it or "
     "sequence_length"},
    {R"({"train": {"steps": 1099511627776, "global_batch_size": 16777216}})",
     "train.steps: the run's tokens would be more than a 64-bit count can hold; lower it"},
    {R"({"optimizer": {"type": "sgd"}})", "optimizer.type: must be one of \"adamw\", \"muon\", not \"sgd\""},
    {R"({"optimizer": {"momentum": 1}})", "optimizer.momentum: must be a number of at least 0 and below 1, not 1"},
    {R"({"optimizer": {"groups": {}}})", "optimizer.groups: must be a list of objects {\"match\": pattern, ...}"},
    {R"({"optimizer": {"groups": ["*"]}})", "optimizer.groups[0]: must be an object {\"match\": pattern, ...}"},
    {R"({"optimizer": {"groups": [{"type": "muon"}]}})", "optimizer.groups[0].match: missing; give a string"},
    {R"({"optimizer": {"groups": [{"match": "", "type": "muon"}]}})",
     "optimizer.groups[0].match: is empty; give a pattern, as in \"*.mlp.experts.*\""},
    {R"({"optimizer": {"groups": [{"match": "*"}]}})",
     "optimizer.groups[0].match: the group changes nothing; give \"type\", \"learning_rate\", "
     "\"learning_rate_scale\" or \"weight_decay\""},
    {R"({"optimizer": {"groups": [{"match": "*", "weight_decay": 0}, {"match": "*", "learning_rate": 0}]}})",
     "optimizer.groups[1].learning_rate: must be a number above 0, not 0"},
    {R"({"optimizer": {"groups": [{"match": "*", "learning_rate": 1, "learning_rate_scale": 2}]}})",
     "optimizer.groups[0].learning_rate_scale: the group has a learning_rate too; remove one"},
    {R"({"optimizer": {"groups": [{"match": "*", "wieght_decay": 1}]}})",
     "optimizer.groups[0].wieght_decay: unknown key; did you mean \"weight_decay\"?"},
    {R"({"optimizer": {"learning_rate": null}})", "optimizer.learning_rate: missing; give a number above 0"},
    {R"({"optimizer": {"learning_rate": 0}})", "optimizer.learning_rate: must be a number above 0, not 0"},
    {R"({"optimizer": {"learning_rate": -1}})", "optimizer.learning_rate: must be a number above 0, not -1"},
    {R"({"optimizer": {"beta1": 1}})", "optimizer.beta1: must be a number of at least 0 and below 1, not 1"},
    {R"({"optimizer": {"beta2": 1.0}})", "optimizer.beta2: must be a number of at least 0 and below 1, not 1.0"},
    {R"({"optimizer": {"beta1": -0.1}})", "optimizer.beta1: must be a number of at least 0 and below 1, not -0.1"},
    {R"({"optimizer": {"eps": 0}})", "optimizer.eps: must be a number above 0 and at most 1, not 0"},
    {R"({"optimizer": {"weight_decay": -0.1}})", "optimizer.weight_decay: must be a number of at least 0, not -0.1"},
    {R"({"optimizer": {"grad_clip": "off"}})", "optimizer.grad_clip: must be a number of at least 0, not \"off\""},
    {R"({"schedule": {"type": "linear"}})",
     "schedule.type: must be one of \"cosine\", \"constant\", \"wsd\", not \"linear\""},
    {R"({"schedule": {"warmup_steps": 101}})", "schedule.warmup_steps: must be at most train.steps 100, not 101"},
    {R"({"schedule": {"warmup_steps": 20, "lr_decay_steps": 19}})",
     "schedule.lr_decay_steps: must be at least warmup_steps 20, not 19"},
    {R"({"schedule": {"type": "constant", "lr_decay_steps": 200}})",
     "schedule.lr_decay_steps: must be 0 with schedule.type \"constant\": it is the length of a cosine"},
    {R"({"schedule": {"type": "wsd", "decay_steps": 10, "lr_decay_steps": 200}})",
     "schedule.lr_decay_steps: must be 0 with schedule.type \"wsd\": it is the length of a cosine"},
    {R"({"schedule": {"min_lr_ratio": 1.5}})", "schedule.min_lr_ratio: must be a number from 0 to 1, not 1.5"},
    {R"({"schedule": {"type": "wsd"}})", "schedule.decay_steps: must be at least 1 with schedule.type \"wsd\""},
    {R"({"schedule": {"type": "wsd", "warmup_steps": 10, "decay_steps": 91}})",
     "schedule.decay_steps: warmup_steps + decay_steps must be at most train.steps 100, not 10 + 91"},
    {R"({"checkpoint": {"keep": -1}})", "checkpoint.keep: must be a whole number of at least 0, not -1"},
    {R"({"checkpoint": {"every": -1}})", "checkpoint.every: must be a whole number from 0 to 1099511627776, not -1"},
    {R"({"log": {"every": 0}})", "log.every: must be a whole number from 1 to 1099511627776, not 0"},
    {R"({"device": "cdua"})",
     "device: must be one of \"auto\", \"cpu\", \"cuda\", not \"cdua\"; did you mean \"cuda\"?"},
    {R"({"precision": "fp16"})",
     "precision: must be one of \"auto\", \"f32\", \"bf16\", not \"fp16\"; did you mean \"bf16\"?"},
    {R"({"seed": -1})", "seed: must be a whole number of at least 0, not -1"},
};

INSTANTIATE_TEST_SUITE_P(Model, RuleTest, testing::ValuesIn(kModelRules));
INSTANTIATE_TEST_SUITE_P(Run, RuleTest, testing::ValuesIn(kRunRules));

TEST(Config, LimitsThemselvesAreAllowed) {
  for (const char* patch : {
           R"({"model": {"num_key_value_heads": 1}})",
           R"({"model": {"num_key_value_heads": 2}})",
           R"({"model": {"num_attention_heads": 5, "head_dim": 8}})",
           R"({"model": {"num_experts_per_tok": 8}})",
           R"({"model": {"n_shared_experts": 2}})",
           R"({"model": {"first_k_dense_replace": 2, "intermediate_size": 64}})",
           R"({"model": {"norm_topk_prob": true}})",
           R"({"model": {"norm_topk_prob": true}, "router": {"type": "topk"}})",
           R"({"model": {"max_position_embeddings": 17}})",
           R"({"model": {"num_experts": 0, "num_experts_per_tok": 2, "intermediate_size": 64}})",
           R"({"train": {"global_batch_size": 12}})",
           R"({"optimizer": {"beta1": 0, "beta2": 0, "grad_clip": 0, "weight_decay": 0}})",
           R"({"schedule": {"warmup_steps": 100}})",
           R"({"schedule": {"warmup_steps": 20, "lr_decay_steps": 20}})",
           R"({"schedule": {"lr_decay_steps": 200}})",
           R"({"schedule": {"type": "wsd", "warmup_steps": 10, "decay_steps": 90}})",
           R"({"checkpoint": {"keep": 0}, "seed": 9223372036854775807})",
       })
    EXPECT_EQ(error_with(patch), "no error") << patch;
}

// The overflow guard must not refuse the largest models that have been described.
TEST(Config, TrillionParametersPass) {
  EXPECT_EQ(error_with(R"({"model": {"vocab_size": 256000, "hidden_size": 16384, "num_hidden_layers": 120,
                                     "num_attention_heads": 128, "num_experts": 1024, "num_experts_per_tok": 16,
                                     "moe_intermediate_size": 4096},
                           "train": {"sequence_length": 131072, "micro_batch_size": 8, "global_batch_size": 4096,
                                     "steps": 1000000}})"),
            "no error");
}

TEST(Config, TheRootMustBeAnObject) {
  EXPECT_EQ(error_of([] { parse_config(json::array({1}), "f.json"); }), "f.json: must be an object {...}, not [1]");
}

TEST(Config, ErrorKeepsItsParts) {
  try {
    parse_config(minimal_with(R"({"seed": -1})"), "f.json");
    FAIL();
  } catch (const KeyError& error) {
    EXPECT_EQ(error.path, "seed");
    EXPECT_EQ(error.why, "must be a whole number of at least 0, not -1");
  }
}

TEST(Config, RoundTripsWithEveryFieldChanged) {
  const json changed = json::parse(R"({
    "model": {"vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 5, "num_attention_heads": 6,
              "num_key_value_heads": 3, "head_dim": 10, "intermediate_size": 70, "moe_intermediate_size": 30,
              "num_experts": 12, "num_experts_per_tok": 4, "n_shared_experts": 2, "first_k_dense_replace": 1,
              "norm_topk_prob": true, "router_aux_loss_coef": 0.123456789012345, "balance_scope": "step", "router_z_loss_coef": 1e-3,
              "hidden_act": "gelu", "norm_type": "layernorm", "rms_norm_eps": 1e-6, "qk_norm": true,
              "attention_bias": true, "rope_theta": 500000, "max_position_embeddings": 99, "tie_word_embeddings": true, "init": "normal",
              "qk_norm_scope": "head", "logit_softcap": 30.5, "output_z_loss_coef": 1e-4, "initializer_range": 0.03},
    "router": {"type": "other", "a": 1, "b": {"c": [1, 2.5, "x", null]}},
    "data": {"train": "t", "val": "v", "tokenizer": "k", "document_mask": true, "end_of_text": 17},
    "train": {"steps": 7, "sequence_length": 20, "micro_batch_size": 3, "global_batch_size": 9, "eval_every": 2,
              "eval_tokens": 0, "recompute": "block", "init_from": "runs/a", "init_noise": 0.1, "cuda_graphs": false,
              "skip_spikes": 6.5, "skip_spikes_window": 64, "weight_ema": 0.999,
              "tasks": {"files": ["a.jsonl", "b"], "every": 10, "limit": 20, "shots": 2}},
    "optimizer": {"type": "muon", "learning_rate": 0.1, "beta1": 0.8, "beta2": 0.9, "eps": 1e-7, "weight_decay": 0.3,
                  "grad_clip": 0.7, "momentum": 0.9, "muon_scale": "original", "state_dtype": "bf16",
                  "groups": [{"match": "*.a", "type": "adamw", "learning_rate": 0.2, "weight_decay": 0.0},
                             {"match": "b?", "learning_rate_scale": 0.5}]},
    "schedule": {"type": "wsd", "warmup_steps": 1, "min_lr_ratio": 0.2, "decay_steps": 3,
                 "lr_decay_steps": 0},
    "checkpoint": {"minutes": 2.5, "every": 5, "keep": 0},
    "log": {"every": 3, "tensorboard": false},
    "distributed": {"zero_stage": 1, "reduce_dtype": "bf16", "heartbeat_seconds": 3, "hang_seconds": 0},
    "kernels": {"hopper": "off"},
    "device": "cpu", "precision": "f32", "seed": 42})");
  const Config config = parse_config(changed, "f.json");
  // Every value above except lr_decay_steps differs from its default, so a field that is not read or not written shows
  // here.
  EXPECT_EQ(json(to_json(config)), changed);
  const Config again = parse_config(json::parse(to_json(config).dump()), "f.json");
  EXPECT_TRUE(again == config);
}

// Only the cosine schedule takes lr_decay_steps, so the test above cannot cover it.
TEST(Config, RoundTripsTheLengthOfACosine) {
  const Config config = parse_config(minimal_with(R"({"schedule": {"lr_decay_steps": 200}})"), "f.json");
  EXPECT_EQ(config.schedule.lr_decay_steps, 200);
  EXPECT_TRUE(parse_config(json::parse(to_json(config).dump()), "f.json") == config);
}

TEST(ParamGroups, AStarMatchesAnyCharactersAndAQuestionMarkOne) {
  for (const char* pattern : {"a.bc.d", "*", "a.*", "*.d", "a*d", "*b*", "a.??.d", "**", "*.bc.*", "a.bc.d*"})
    EXPECT_TRUE(matches_glob(pattern, "a.bc.d")) << pattern;
  for (const char* pattern : {"", "a", "a.bc", "bc.d", "a.?.d", "*.c.*", "a.bc.d?", "A.bc.d", "*e"})
    EXPECT_FALSE(matches_glob(pattern, "a.bc.d")) << pattern;
  EXPECT_TRUE(matches_glob("*ab*abc", "ababxabababc")) << "the last star takes more than the shortest match";
}

TEST(Config, JsonKeepsTheOrderOfTheFile) {
  std::vector<std::string> keys;
  const nlohmann::ordered_json out = to_json(parse_config(minimal_with(R"({"router": {"a": 1}})"), "f.json"));
  for (const auto& item : out.items()) keys.push_back(item.key());
  EXPECT_EQ(keys, (std::vector<std::string>{"model", "router", "data", "train", "optimizer", "schedule", "checkpoint",
                                            "log", "distributed", "kernels", "device", "precision", "seed"}));
  EXPECT_EQ(out["model"].begin().key(), "vocab_size");
  EXPECT_EQ(out["router"].dump(), R"({"type":"topk","a":1})");
  EXPECT_EQ(out["log"].dump(), R"({"every":1,"tensorboard":true})");
}

}  // namespace
}  // namespace gptmoe
