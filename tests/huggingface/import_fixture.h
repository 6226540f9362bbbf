#pragma once
// Folders of tiny models as transformers writes them, read back as our models.
#include <functional>

#include "huggingface/export_fixture.h"
#include "huggingface/import.h"
#include "support/error_line.h"

namespace gptmoe::testing {

inline void write_tensors(const fs::path& path, const ReadTensors& tensors) {
  std::vector<TensorSource> sources;
  for (const auto& [name, tensor] : tensors)
    sources.push_back({name, DType::f32, tensor.sizes, [&tensor = tensor](const TensorSource::Take& take) {
                         take(tensor.values.data(), std::ssize(tensor.values) * 4);
                       }});
  write_safetensors(path, sources, {{"format", "pt"}});
}

class ImportTest : public ExportTest {
 protected:
  fs::path hf() const { return folder_ / "hf"; }
  // Exports the model with these changes to the tiny config as hf(), and returns its config.
  Config export_model_of(const json& changes, const Options& options = {}) {
    const Config config = config_of(changes);
    fs::remove_all(hf());
    export_to("hf", config, options);
    return config;
  }
  void edit_config(const json& patch) const {
    json config = json::parse(read_text_file(hf() / "config.json"));
    config.merge_patch(patch);  // null removes a key
    write_text_file(hf() / "config.json", config.dump(2));
  }
  void edit_weights(const std::function<void(ReadTensors&)>& edit) const {
    ReadTensors tensors;
    read_tensors(hf() / "model.safetensors", tensors);
    edit(tensors);
    write_tensors(hf() / "model.safetensors", tensors);
  }
  // The tensors of the checkpoint that an import of hf() writes.
  ReadTensors imported() const {
    fs::remove_all(folder_ / "imported");
    import_model(ModelFolder(hf()), folder_ / "imported");
    ReadTensors tensors;
    read_tensors(folder_ / "imported/model.safetensors", tensors);
    return tensors;
  }
  std::string refusal() const {
    const std::string line = error_of([&] { imported(); });
    for (const std::string& name : names()) EXPECT_FALSE(name.starts_with("imported")) << name << " is left behind";
    return line;
  }
};

inline void expect_same_tensors(const ReadTensors& expected, const ReadTensors& actual) {
  ASSERT_EQ(actual.size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    ASSERT_TRUE(actual.contains(name)) << name;
    EXPECT_EQ(actual.at(name).sizes, tensor.sizes) << name;
    EXPECT_EQ(actual.at(name).values, tensor.values) << name;
  }
}

}  // namespace gptmoe::testing
