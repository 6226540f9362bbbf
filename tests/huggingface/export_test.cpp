// The folder that an export writes.
#include "huggingface/export.h"

#include "base/bf16.h"
#include "base/lock.h"
#include "huggingface/export_fixture.h"
#include "huggingface/modeling_files.h"
#include "support/error_line.h"
#include "support/file_size_limit.h"
#include "support/test_folders.h"
#include "tokenizer/tokenizer_file.h"

namespace gptmoe::testing {
namespace {

class Export : public ExportTest {
 protected:
  const Config config_ = config_of({});
  const Config default_config_ = config_of({{"router", {{"type", "default"}}}});
};

TEST_F(Export, WritesOneFileForASmallModel) {
  const ExportedFiles written = export_to("hf", config_, {});
  EXPECT_EQ(written.shards, 1);
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(folder_ / "hf")) files.push_back(entry.path().filename());
  std::sort(files.begin(), files.end());
  EXPECT_EQ(files,
            (std::vector<std::string>{"README.md", "config.json", "generation_config.json", "model.safetensors"}));
  const SafetensorsFile file(folder_ / "hf/model.safetensors");
  EXPECT_EQ(file.metadata(), (SafetensorsMetadata{{"format", "pt"}}));
  EXPECT_EQ(std::ssize(file.entries()), written.tensors);
  EXPECT_EQ(names(), (std::vector<std::string>{"hf", "run"}));
}

TEST_F(Export, ConfigsDescribeTheModel) {
  export_to("hf", config_, {});
  const json config = read("hf/config.json");
  EXPECT_EQ(config["architectures"], json::array({"Qwen2MoeForCausalLM"}));
  EXPECT_EQ(config["model_type"], "qwen2_moe");
  EXPECT_EQ(config["num_experts"], 5);
  EXPECT_EQ(config["norm_topk_prob"], false);
  EXPECT_EQ(config["qkv_bias"], false);
  EXPECT_EQ(config["rms_norm_eps"], 1e-5);
  EXPECT_EQ(config["rope_parameters"], json({{"rope_type", "default"}, {"rope_theta", 10000.0}}));
  EXPECT_EQ(config["rope_theta"], 10000.0);
  EXPECT_EQ(config["dtype"], "float32");
  EXPECT_EQ(config["eos_token_id"], nullptr);  // not the class's default

  const auto described = [&](const char* changes) {
    const Config c = config_of(json::parse(changes));
    return json::parse(config_json(*choose_family(c).family, c, DType::bf16, 28));
  };
  const json first_dense = described(R"({"model": {"first_k_dense_replace": 1, "n_shared_experts": 3}})");
  EXPECT_EQ(first_dense["mlp_only_layers"], json::array({0}));
  EXPECT_EQ(first_dense["shared_expert_intermediate_size"], 30);
  EXPECT_EQ(first_dense["dtype"], "bfloat16");
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) EXPECT_EQ(first_dense[key], 28);
  const json neox = described(R"({"model": {"num_experts": 0, "norm_type": "layernorm", "hidden_act": "gelu"}})");
  EXPECT_EQ(neox["hidden_act"], "gelu_pytorch_tanh");
  EXPECT_EQ(neox["use_parallel_residual"], false);
  EXPECT_EQ(neox["rotary_pct"], 1.0);
  EXPECT_EQ(neox["rope_parameters"]["partial_rotary_factor"], 1.0);
  const json phimoe =
      described(R"({"model": {"norm_type": "layernorm"}, "router": {"type": "sparsemixer", "jitter": 0.25}})");
  EXPECT_EQ(phimoe["router_jitter_noise"], 0.25);
  EXPECT_EQ(
      described(R"({"model": {"norm_type": "layernorm"}, "router": {"type": "sparsemixer"}})")["router_jitter_noise"],
      0.01);
}

TEST_F(Export, OurClassComesWithItsSource) {
  export_to("hf", default_config_, {});
  EXPECT_EQ(read("hf/config.json")["auto_map"]["AutoModelForCausalLM"], "modeling_gptmoe.GptmoeForCausalLM");
  for (const auto& [name, source] :
       {std::pair("configuration_gptmoe.py", kConfigurationSource), std::pair("modeling_gptmoe.py", kModelingSource)}) {
    EXPECT_EQ(read_text_file(folder_ / "hf" / name), source);
    EXPECT_EQ(read_text_file(source_folder() + "/src/huggingface/" + name), source) << "configure again";
  }
  expect_contains(read_text_file(folder_ / "hf/README.md"), "trust_remote_code=True");
}

TEST_F(Export, Bf16RoundsAllButTheRoutersOfOurClass) {
  const ReadTensors ours = saved(default_config_), theirs = exported(default_config_, {.dtype = DType::bf16});
  for (const auto& [name, tensor] : theirs)
    for (size_t i = 0; i < tensor.values.size(); ++i) {
      const bool whole = name.ends_with("mlp.gate.weight") || name.ends_with("default_vectors");
      const float value = ours.at(name).values[i];
      ASSERT_EQ(tensor.values[i], whole ? value : bf16_value(bf16_bits(value))) << name;
    }
  for (const SafetensorsFile file(folder_ / "hf/model.safetensors"); const auto& entry : file.entries())
    EXPECT_EQ(entry.dtype() == DType::f32,
              entry.name.ends_with("mlp.gate.weight") || entry.name.ends_with("default_vectors"));
  exported(config_, {.dtype = DType::bf16});
  for (const SafetensorsFile file(folder_ / "hf/model.safetensors"); const auto& entry : file.entries())
    EXPECT_EQ(entry.dtype(), DType::bf16) << entry.name;
}

TEST_F(Export, CutsALargeModelIntoIndexedFiles) {
  const int64_t limit = 3000;
  const ExportedFiles whole = export_to("whole", config_, {}), cut = export_to("cut", config_, {.shard_bytes = limit});
  EXPECT_EQ(cut.tensors, whole.tensors);
  EXPECT_EQ(cut.bytes, whole.bytes);
  ASSERT_GT(cut.shards, 3);
  ReadTensors expected, found;
  read_tensors(folder_ / "whole/model.safetensors", expected);
  const json index = read("cut/model.safetensors.index.json");
  EXPECT_EQ(index["metadata"]["total_size"], cut.bytes);
  EXPECT_EQ(std::ssize(index["weight_map"]), cut.tensors);
  for (int64_t i = 1; i <= cut.shards; ++i) {
    char name[64];
    std::snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", static_cast<int>(i),
                  static_cast<int>(cut.shards));
    const SafetensorsFile file(folder_ / "cut" / name);
    int64_t bytes = 0;
    for (const SafetensorsFile::Entry& entry : file.entries()) {
      EXPECT_EQ(index["weight_map"][entry.name], name);
      bytes += entry.end - entry.begin;
    }
    EXPECT_TRUE(bytes <= limit || file.entries().size() == 1) << name;
    read_tensors(folder_ / "cut" / name, found);
  }
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [name, tensor] : expected) EXPECT_EQ(found.at(name).values, tensor.values) << name;
}

TEST_F(Export, TheTokenizerGivesTheSameIds) {
  const Tokenizer tokenizer = load_tokenizer(source_folder() + "/tests/tokenizer/golden/tokenizer.json");
  const int64_t size = tokenizer.vocab_size();
  export_to("hf", config_of({{"model", {{"vocab_size", size + 3}}}}), {.tokenizer = &tokenizer});
  const Tokenizer written = load_tokenizer(folder_ / "hf/tokenizer.json");
  const std::string text = "In the beginning God created the heaven and the earth.";
  EXPECT_EQ(written.encode(text), tokenizer.encode(text));
  EXPECT_EQ(written.end_of_text(), tokenizer.end_of_text());
  const json config = read("hf/tokenizer_config.json");
  EXPECT_EQ(config["tokenizer_class"], "PreTrainedTokenizerFast");
  EXPECT_EQ(config["eos_token"], "<|endoftext|>");
  EXPECT_EQ(config["pad_token"], "<|endoftext|>");
  EXPECT_EQ(config["model_max_length"], 7);
  const int32_t end = *tokenizer.end_of_text();
  EXPECT_EQ(read("hf/config.json")["eos_token_id"], end);
  const json generation = read("hf/generation_config.json");
  EXPECT_EQ(generation["eos_token_id"], end);
  EXPECT_EQ(generation["suppress_tokens"], json({size, size + 1, size + 2}));
}

TEST_F(Export, LeavesOutATokenizerThatTokenizerJsonCannotHold) {
  Vocabulary vocabulary = load_tokenizer(source_folder() + "/tests/tokenizer/golden/tokenizer.json").vocabulary();
  vocabulary.added.push_back({static_cast<int32_t>(vocabulary.tokens.size()), false});
  vocabulary.tokens.push_back("é");  // this is also the written form of byte 0xE9
  const int64_t size = std::ssize(vocabulary.tokens);
  const Tokenizer tokenizer(std::move(vocabulary));
  const ExportedFiles written =
      export_to("hf", config_of({{"model", {{"vocab_size", size}}}}), {.tokenizer = &tokenizer});
  EXPECT_EQ(written.without_tokenizer, "tokenizer.json cannot hold two tokens written \"é\"");
  EXPECT_FALSE(fs::exists(folder_ / "hf/tokenizer.json") || fs::exists(folder_ / "hf/tokenizer_config.json"));
  EXPECT_EQ(read("hf/config.json")["eos_token_id"], *tokenizer.end_of_text());
}

TEST_F(Export, TakesAnEmptyFolderAndNoOther) {
  fs::create_directory(folder_ / "empty");
  export_to("empty", config_, {});
  EXPECT_TRUE(fs::exists(folder_ / "empty/config.json"));
  const std::string taken = (folder_ / "empty").string();
  EXPECT_TRUE(error_of([&] { export_to("empty", config_, {}); }).ends_with("; name a new or empty folder"));
  write_text_file(folder_ / "file", "x");
  EXPECT_EQ(error_of([&] { export_to("file", config_, {}); }),
            (folder_ / "file").string() + ": is not a folder; name a new or empty folder");
  export_to("deep/er", config_, {});
  EXPECT_TRUE(fs::exists(folder_ / "deep/er/config.json"));
  export_to("slash/", config_, {});
  EXPECT_TRUE(fs::exists(folder_ / "slash/config.json"));
  EXPECT_EQ(names(), (std::vector<std::string>{"deep", "empty", "file", "run", "slash"}));
  EXPECT_EQ(read_text_file(folder_ / "file"), "x");
}

TEST_F(Export, ClearsWhatAKillLeftAndKeepsOutOfAnothersWay) {
  fs::create_directory(folder_ / "hf.gptmoe-tmp-99999999-1");
  write_text_file(folder_ / "hf.gptmoe-tmp-99999999-1/model.safetensors", "half");
  write_text_file(folder_ / "hf.gptmoe-lock", "99999999 on a machine\n");
  {
    const OutputLock other(folder_ / "hf", "");
    const std::string line = error_of([&] { export_to("hf", config_, {}); });
    EXPECT_TRUE(line.starts_with(text((folder_ / "hf").string(), ": another process (", getpid(), " on "))) << line;
    EXPECT_TRUE(line.ends_with(") is writing this folder; wait for it or name another folder")) << line;
    EXPECT_FALSE(fs::exists(folder_ / "hf"));
  }
  export_to("hf", config_, {});
  EXPECT_EQ(names(), (std::vector<std::string>{"hf", "run"}));
}

TEST_F(Export, TheCardSaysWhereTheWeightsAreFrom) {
  const auto first_line = [](const ModelCard& card) { return model_card(card, custom_family(), false); };
  expect_contains(first_line({.training = "8 steps", .version = "1"}),
                  "A language model trained from scratch by gptmoe 1.");
  expect_contains(first_line({.training = "8 steps", .version = "1", .start = "x"}),
                  "A language model trained from the weights of `x` by gptmoe 1.");
  expect_contains(first_line({.version = "1", .start = "x"}),
                  "A language model converted from the weights of `x` by gptmoe 1.");
}

TEST_F(Export, AFullDiskLeavesNothing) {
  save(config_);
  for (const int64_t limit : {100, 20000, 36000}) {  // cuts the model or the model card
    const ExportRequest request{.checkpoint = folder_ / "run/checkpoints/step_00000003",
                                .out = folder_ / "hf",
                                .config = config_,
                                .family = *choose_family(config_).family,
                                .card = {.name = "run", .model = std::string(40000, 'x')}};
    const FileSizeLimit full(static_cast<rlim_t>(limit));
    EXPECT_NE(message<Failure>([&] { export_model(request); }).find("cannot write: File too large"), std::string::npos);
    EXPECT_EQ(names(), (std::vector<std::string>{"run"}));
  }
}

TEST_F(Export, ADamagedCheckpointLeavesNothing) {
  const fs::path model = save(config_) / "model.safetensors";
  std::string bytes = read_text_file(model);
  bytes[bytes.size() - 5] ^= 1;
  const ExportRequest request{.checkpoint = model.parent_path(),
                              .out = folder_ / "hf",
                              .config = config_,
                              .family = *choose_family(config_).family};
  write_text_file(model, bytes);
  expect_contains(error_of([&] { export_model(request); }), "model.safetensors: does not match its checksum");
  const fs::path other = save(config_of({{"model", {{"hidden_size", 24}}}}));
  expect_contains(error_of([&] { export_model(request); }), "has the shape (29, 24) and not (29, 12)");
  EXPECT_EQ(names(), (std::vector<std::string>{"run"}));
}

}  // namespace
}  // namespace gptmoe::testing
