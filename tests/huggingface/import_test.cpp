// The checkpoint that an import writes.
#include "huggingface/import.h"

#include <limits>

#include "base/bf16.h"
#include "base/f16.h"
#include "huggingface/folder_in_progress.h"
#include "huggingface/import_fixture.h"
#include "support/file_size_limit.h"

namespace gptmoe::testing {
namespace {

class Import : public ImportTest {
 protected:
  // Exports, imports and exports again.
  void expect_round_trip(const json& changes, const Options& options = {}) {
    const Config config = export_model_of(changes, options);
    ReadTensors ours = saved(config);
    erase_training_state(ours);
    ReadTensors theirs, again;
    read_tensors(hf() / "model.safetensors", theirs);
    ReadTensors back = imported();
    erase_training_state(back);
    expect_same_tensors(ours, back);

    const fs::path checkpoint = folder_ / "imported", out = folder_ / "again";
    verify_checkpoint(checkpoint);
    const Config as_read = parse_config(read_checkpoint_state(checkpoint).config, "imported");
    fs::remove_all(out);
    export_model({.checkpoint = checkpoint,
                  .out = out,
                  .config = as_read,
                  .family = options.custom ? custom_family() : *choose_family(as_read).family});
    read_tensors(out / "model.safetensors", again);
    expect_same_tensors(theirs, again);
    EXPECT_EQ(read("hf/config.json"), read("again/config.json"));
  }
};

TEST_F(Import, EveryClassComesBackBitForBit) {
  for (const FamilyCase& c : family_cases()) {
    SCOPED_TRACE(c.changes);
    expect_round_trip(json::parse(c.changes));
    EXPECT_STREQ(ModelFolder(hf()).family().model_type, c.model_type);
  }
}

TEST_F(Import, OurClassComesBackWithEveryRouter) {
  for (const Router& router : routers())
    for (const RouterTrial& trial : router.trials) {
      SCOPED_TRACE(text(router.name, " ", trial.keys));
      json block = json::parse(trial.keys);
      block["type"] = router.name;
      expect_round_trip({{"router", block},
                         {"model", {{"router_aux_loss_coef", 0}, {"norm_type", "layernorm"}, {"n_shared_experts", 1}}}},
                        {.custom = true});
    }
}

TEST_F(Import, OneHeadHasItsQueriesKeysAndValues) {
  expect_round_trip(
      {{"model",
        {{"num_experts", 0}, {"norm_type", "layernorm"}, {"hidden_act", "gelu"}, {"num_attention_heads", 1}}}});
}

TEST_F(Import, TheCheckpointLoads) {
  const Config config =
      export_model_of(json::parse(family_cases()[4].changes));  // the folder lacks its sampler's state
  imported();
  const fs::path checkpoint = folder_ / "imported";
  EXPECT_EQ(resolve_checkpoint(checkpoint), checkpoint);
  const CheckpointState state = read_checkpoint_state(checkpoint);
  EXPECT_EQ(state.step, 0);
  Model model(parse_config(state.config, "imported")), fresh(config);
  load_model(checkpoint, model.gpt().params(), model.gpt().state());
  const auto samplers = [](Model& one) {
    std::vector<int64_t> numbers;
    for (const StateRow& row : one.gpt().state().rows())
      for (int64_t i = 0; row.dtype == DType::i64 && i < row.value.count(); ++i)
        numbers.push_back(row.value.as<int64_t>()[i]);
    return numbers;
  };
  ASSERT_FALSE(samplers(model).empty());
  EXPECT_EQ(samplers(model), samplers(fresh));
  EXPECT_EQ(model.config.router.type, "sparsemixer");
  expect_contains(error_of([&] {
                    Model whole(model.config);
                    std::vector<float> m(static_cast<size_t>(whole.gpt().params().element_count()));
                    const Tensor moments(m.data(), DType::f32, {std::ssize(m)});
                    load_checkpoint(checkpoint, {whole.gpt().params(), whole.gpt().state(), moments, moments});
                  }),
                  "holds only the model, so training cannot continue from it");
}

TEST_F(Import, RefusesWeightsThatAreNotFinite) {
  export_model_of({});
  std::string name;
  edit_weights([&](ReadTensors& tensors) {
    name = tensors.begin()->first;
    tensors.begin()->second.values.back() = std::numeric_limits<float>::infinity();
  });
  EXPECT_EQ(refusal(), (hf() / "model.safetensors").string() + ": tensor \"" + name +
                           "\": has elements that are infinite or not a number");
}

TEST_F(Import, NamesTheFileOfSeveralWhoseTensorIsNotFinite) {
  export_model_of({}, {.shard_bytes = 3000});
  fs::path shard;
  for (const auto& entry : fs::directory_iterator(hf()))
    if (entry.path().extension() == ".safetensors") shard = entry.path();
  ReadTensors tensors;
  read_tensors(shard, tensors);
  tensors.begin()->second.values.back() = std::numeric_limits<float>::quiet_NaN();
  write_tensors(shard, tensors);
  EXPECT_EQ(refusal(), shard.string() + ": tensor \"" + tensors.begin()->first +
                           "\": has elements that are infinite or not a number");
}

TEST_F(Import, ReadsSeveralFiles) {
  const Config config = export_model_of({}, {.shard_bytes = 3000});
  ASSERT_FALSE(fs::exists(hf() / "model.safetensors"));
  expect_same_tensors(saved(config), imported());
}

TEST_F(Import, WidensBf16AndF16) {
  const Config config = export_model_of({{"model", {{"n_shared_experts", 1}}}}, {.dtype = DType::bf16});
  const ReadTensors ours = saved(config), wide = imported();
  ASSERT_EQ(wide.size(), ours.size());
  for (const auto& [name, tensor] : ours)
    for (size_t i = 0; i < tensor.values.size(); ++i)
      ASSERT_EQ(wide.at(name).values[i], bf16_value(bf16_bits(tensor.values[i]))) << name;
  std::string bytes = read_text_file(hf() / "model.safetensors");
  for (size_t at = 0; (at = bytes.find("\"BF16\"", at)) != std::string::npos;) bytes.replace(at, 6, "\"F16\" ");
  write_text_file(hf() / "model.safetensors", bytes);
  const ReadTensors halves = imported();
  for (const auto& [name, tensor] : ours) {
    const float factor = name.ends_with("shared_experts.down_proj.weight") ? 2 : 1;
    for (size_t i = 0; i < tensor.values.size(); ++i)
      ASSERT_EQ(factor * halves.at(name).values[i], f16_value(bf16_bits(factor * tensor.values[i]))) << name;
  }
}

TEST_F(Import, PutsOtherFilesBesideTheModel) {
  export_model_of({});
  import_model(ModelFolder(hf()), folder_ / "out/deep", {{"tokenizer.json", "{}"}});
  EXPECT_EQ(read_text_file(folder_ / "out/deep/tokenizer.json"), "{}");
  verify_checkpoint(folder_ / "out/deep");
  write_text_file(folder_ / "out/deep/tokenizer.json", "[]");
  expect_contains(error_of([&] { verify_checkpoint(folder_ / "out/deep"); }),
                  "tokenizer.json: does not match its checksum in state.json: it is damaged or cut short; import or "
                  "copy it again");
  expect_contains(error_of([&] { import_model(ModelFolder(hf()), folder_ / "out"); }), "; name a new or empty folder");
}

TEST_F(Import, AFullDiskLeavesNothing) {
  export_model_of({});
  const ModelFolder model(hf());
  const FileSizeLimit full(2000);
  for (const char* out : {"out", "out/a/b"}) {
    EXPECT_NE(message<Failure>([&] { import_model(model, folder_ / out); }).find("File too large"), std::string::npos);
    EXPECT_EQ(names(), (std::vector<std::string>{"hf", "run"})) << out;
  }
}

TEST_F(Import, RefusesAPlaceThatCanBeNoFolder) {
  export_model_of({});
  fs::create_symlink("gone", folder_ / "link");
  expect_contains(error_of([&] { require_free_folder(folder_ / "link"); }),
                  "link: cannot access it: it is a link to gone, which does not exist; name a new or empty folder");
  write_text_file(folder_ / "file", "");
  expect_contains(error_of([&] { import_model(ModelFolder(hf()), folder_ / "file/out"); }),
                  "file: cannot create this folder: Not a directory");
}

TEST_F(Import, TakesATiedHeadThatIsTheEmbedding) {
  for (const auto& [index, head, embedding] : {std::tuple(3, "lm_head.weight", "model.embed_tokens.weight"),
                                               std::tuple(9, "embed_out.weight", "gpt_neox.embed_in.weight")}) {
    export_model_of(json::parse(family_cases()[static_cast<size_t>(index)].changes));
    const ReadTensors without = imported();
    edit_weights([&, head = head, embedding = embedding](ReadTensors& tensors) { tensors[head] = tensors[embedding]; });
    expect_same_tensors(without, imported());
    edit_weights([head = head](ReadTensors& tensors) { tensors[head].values.back() += 1; });
    expect_contains(refusal(),
                    text("\"", head, "\": differs from \"", embedding, "\", but tie_word_embeddings is true"));
  }
}

TEST_F(Import, NamesTheTensorThatDoesNotFit) {
  const std::string embedding = "model.embed_tokens.weight";
  const auto refused = [&](const std::function<void(ReadTensors&)>& edit) {
    export_model_of({});
    edit_weights(edit);
    return refusal();
  };
  const std::string file = (hf() / "model.safetensors").string() + ": tensor ";
  EXPECT_EQ(refused([&](ReadTensors& tensors) { tensors.erase(embedding); }),
            file + "\"" + embedding + "\": is missing; config.json describes a model that has it");
  EXPECT_EQ(refused([&](ReadTensors& tensors) {
              tensors["model.extra.bias"] = {{2}, {1, 2}};
            }),
            file + "\"model.extra.bias\": is not part of the model that config.json describes");
  EXPECT_EQ(refused([&](ReadTensors& tensors) {
              tensors[embedding].sizes = {12, 29};
            }),
            file + "\"" + embedding + "\": has the shape (12, 29) and not (29, 12)");
  expect_contains(refused([&](ReadTensors& tensors) {
                    tensors["model.layers.2.input_layernorm.weight"] = tensors["model.layers.1.input_layernorm.weight"];
                  }),
                  "\"model.layers.2.input_layernorm.weight\": is not part of the model");
  // The names are the class's, not ours.
  const auto experts = [&](const std::function<void(ReadTensors&)>& edit) {
    export_model_of(json::parse(family_cases()[1].changes));
    edit_weights(edit);
    return refusal();
  };
  const std::string expert = "model.layers.1.block_sparse_moe.experts.4.w2.weight";
  expect_contains(experts([&](ReadTensors& tensors) { tensors.erase(expert); }), "\"" + expert + "\": is missing");
  const auto fused = [&](const std::function<void(ReadTensors&)>& edit) {
    export_model_of(json::parse(family_cases()[8].changes));
    edit_weights(edit);
    return refusal();
  };
  const std::string qkv = "gpt_neox.layers.0.attention.query_key_value.weight";
  expect_contains(fused([&](ReadTensors& tensors) {
                    tensors[qkv] = {{35, 12}, std::vector<float>(35 * 12)};
                  }),
                  "\"" + qkv + "\": does not divide into queries, keys and values of num_attention_heads 3");
  expect_contains(fused([&](ReadTensors& tensors) {
                    tensors[qkv] = {{45, 12}, std::vector<float>(45 * 12)};
                  }),
                  "\"" + qkv + "\": has the shape (45, 12) and not (36, 12)");
}

TEST_F(Import, NamesTheTensorThatIsNotZero) {
  const auto refused = [&](size_t index, const std::string& name) {
    export_model_of(json::parse(family_cases()[index].changes));
    edit_weights([&](ReadTensors& tensors) { tensors.at(name).values.back() = 1e-30f; });
    expect_contains(refusal(), "\"" + name + "\": is not zero");
  };
  refused(8, "gpt_neox.layers.1.mlp.dense_4h_to_h.bias");
  refused(3, "model.layers.1.mlp.shared_expert_gate.weight");
  refused(2, "model.layers.0.mlp.shared_expert.down_proj.weight");
  export_model_of({});
  edit_weights([&](ReadTensors& tensors) { tensors.erase("model.layers.0.mlp.shared_expert_gate.weight"); });
  expect_contains(refusal(), "\"model.layers.0.mlp.shared_expert_gate.weight\": is missing; expected (1, 12)");
}

TEST_F(Import, TakesBuffersOfOldFilesAndNoWholeNumbers) {
  export_model_of(json::parse(family_cases()[5].changes));
  edit_weights([](ReadTensors& tensors) {
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = {{3}, {1, 0.5, 0.25}};
  });
  imported();
  std::string bytes = read_text_file(hf() / "model.safetensors");
  bytes.replace(bytes.find("\"F32\""), 5, "\"I32\"");
  write_text_file(hf() / "model.safetensors", bytes);
  expect_contains(refusal(), "holds i32; gptmoe imports F32, BF16 and F16");
}

TEST_F(Import, NamesTheFileThatIsWrong) {
  const fs::path index = hf() / "model.safetensors.index.json";
  const auto refused = [&](const std::function<void(json & map, const fs::path& shard)>& edit) {
    export_model_of({}, {.shard_bytes = 3000});
    json content = json::parse(read_text_file(index));
    const fs::path shard = hf() / content["weight_map"]["model.embed_tokens.weight"].get<std::string>();
    edit(content["weight_map"], shard);
    write_text_file(index, content.dump());
    return refusal();
  };
  std::string name;
  const std::string gone = refused([&](json&, const fs::path& shard) {
    name = shard.filename();
    fs::remove(shard);
  });
  EXPECT_EQ(gone, index.string() + ": names " + name + ", which is not in the folder");
  expect_contains(refused([](json& map, const fs::path&) { map.erase("model.embed_tokens.weight"); }),
                  ": tensor \"model.embed_tokens.weight\": is not in model.safetensors.index.json");
  expect_contains(refused([](json& map, const fs::path& shard) { map["model.more"] = shard.filename(); }),
                  "index.json: tensor \"model.more\": is not in model-");
  expect_contains(refused([](json& map, const fs::path&) { map["model.embed_tokens.weight"] = map["lm_head.weight"]; }),
                  ": tensor \"model.embed_tokens.weight\": is in model-");
  expect_contains(
      refused([](json& map, const fs::path&) { map["model.embed_tokens.weight"] = "../model.safetensors"; }),
      "must be the name of a file in this folder, not \"../model.safetensors\"");
  expect_contains(refused([](json& map, const fs::path&) { map = 3; }), "index.json: weight_map: must be an object");
  expect_contains(refused([](json&, const fs::path& shard) { fs::resize_file(shard, fs::file_size(shard) - 4); }),
                  "the file is damaged or cut short");
  fs::remove(index);
  expect_contains(refusal(), "holds neither model.safetensors nor model.safetensors.index.json");
}

}  // namespace
}  // namespace gptmoe::testing
