#pragma once
// Fuzz targets for the readers of input files. Each takes arbitrary bytes and must not throw. It catches the
// UserError that damaged input should cause; anything else is a bug. libFuzzer runs them (tools/fuzz.sh), and a test
// runs them on the seeds and on mutations of the seeds.
#include <string_view>

namespace gptmoe::fuzz {

void tokenizer_json(std::string_view bytes);
void gpt2_files(std::string_view bytes);  // vocab.json, a NUL, merges.txt, a NUL, tokenizer_config.json
void rank_file(std::string_view bytes);
void shard(std::string_view bytes);
void npy(std::string_view bytes);
void megatron_index(std::string_view bytes);  // of a .bin with the uint16 ids 0 to 7
void token_array(std::string_view bytes);     // a .bin of ids without a header
void jsonl(std::string_view bytes);
void plain_text(std::string_view bytes);
void compressed(std::string_view bytes);

void config(std::string_view bytes);  // the file, a NUL, then a line for each --set
void safetensors(std::string_view bytes);
void checkpoint_state(std::string_view bytes);  // state.json up to its checksum
void metrics(std::string_view bytes);
void run_log(std::string_view bytes);
void analysis(std::string_view bytes);
void reference(std::string_view bytes);
void task(std::string_view bytes);
void prompts(std::string_view bytes);
void event_file(std::string_view bytes);
void watched_run(std::string_view bytes);  // config.json, a NUL, metrics.jsonl
void arms(std::string_view bytes);         // config.json of a run below a folder
void latest(std::string_view bytes);       // checkpoints/LATEST

void model_config(std::string_view bytes);  // config.json of a Hugging Face folder
void weight_index(std::string_view bytes);  // model.safetensors.index.json for a file of two tensors
void manifest(std::string_view bytes);
void shard_seals(std::string_view bytes);  // manifest.json beside shards

struct Target {
  std::string_view name;  // also its folder in tests/fuzz/seeds
  void (*run)(std::string_view bytes);
};
inline constexpr Target kTargets[] = {{"tokenizer_json", tokenizer_json},
                                      {"gpt2_files", gpt2_files},
                                      {"rank_file", rank_file},
                                      {"shard", shard},
                                      {"npy", npy},
                                      {"megatron_index", megatron_index},
                                      {"token_array", token_array},
                                      {"jsonl", jsonl},
                                      {"plain_text", plain_text},
                                      {"compressed", compressed},
                                      {"config", config},
                                      {"safetensors", safetensors},
                                      {"checkpoint_state", checkpoint_state},
                                      {"metrics", metrics},
                                      {"run_log", run_log},
                                      {"analysis", analysis},
                                      {"reference", reference},
                                      {"task", task},
                                      {"prompts", prompts},
                                      {"event_file", event_file},
                                      {"watched_run", watched_run},
                                      {"arms", arms},
                                      {"latest", latest},
                                      {"model_config", model_config},
                                      {"weight_index", weight_index},
                                      {"manifest", manifest},
                                      {"shard_seals", shard_seals}};

}  // namespace gptmoe::fuzz
