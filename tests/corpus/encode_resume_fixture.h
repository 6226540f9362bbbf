#pragma once
// An encoding job with many batches and shards, which tests interrupt.
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "corpus/encode_fixture.h"

namespace gptmoe {

namespace fs = std::filesystem;

struct Interruption : std::runtime_error {
  Interruption() : std::runtime_error("interrupted") {}
};

struct EncodeResumeTest : EncodeFixture {
  // Encodes a .jsonl file, a text that is read in many pieces, and another .jsonl file into two splits of many shards,
  // with a checkpoint after every batch.
  void SetUp() override {
    std::string text;
    for (int i = 0; i < 500; ++i) text += "river" + std::to_string(i % 97) + (i % 11 ? " " : ".\n");
    write_text_file(folder / "b.txt", text);
    inputs = {write_documents(60, "a.jsonl"), (folder / "b.txt").string(), write_documents(40, "c.jsonl")};
    encode(inputs, options("whole"));
    batch_bytes = 700;
  }
  EncodeOptions options(const std::string& name) const {
    return {.output = folder / name, .val_fraction = 0.3, .shard_tokens = 350, .checkpoint_seconds = 0};
  }
  // Runs until `batches` batches are delivered; returns true if the job finished before that.
  bool run_for(int batches, EncodeOptions options) {
    int delivered = 0;
    try {
      encode(inputs, options, [&](const JobSummary&) {
        if (++delivered == batches) throw Interruption();
      });
      return true;
    } catch (const Interruption&) {
      return false;
    }
  }
  // Expects the manifest to list every finished shard with the right number of tokens.
  static void expect_only_listed_shards(const fs::path& output) {
    std::map<std::string, int64_t> named, listed;
    for (const auto& [name, bytes] : content(output))
      if (name.ends_with(".bin")) named[name] = Shard(output / name).size();
    if (fs::exists(output / "manifest.json")) {
      const auto manifest = nlohmann::json::parse(read_text_file(output / "manifest.json"));
      for (const char* split : {"train", "val"})
        for (const auto& shard : manifest[split]["shards"]) listed[shard["file"]] = shard["tokens"];
    }
    for (const auto& [name, tokens] : named) EXPECT_EQ(listed[name], tokens) << name;
  }

  std::vector<std::string> inputs;
};

}  // namespace gptmoe
