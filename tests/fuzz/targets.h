#pragma once
// Fuzz targets for the readers of input files. Each takes arbitrary bytes and must not throw. It catches the
// UserError that damaged input should cause; anything else is a bug. libFuzzer runs them (tools/fuzz.sh), and a test
// runs them on the seeds and on mutations of the seeds.
#include <string_view>

namespace gptmoe::fuzz {

void tokenizer_json(std::string_view bytes);
void gpt2_files(std::string_view bytes);  // vocab.json, a NUL, merges.txt
void rank_file(std::string_view bytes);
void shard(std::string_view bytes);
void npy(std::string_view bytes);
void megatron_index(std::string_view bytes);  // of a .bin with the uint16 ids 0 to 7
void jsonl(std::string_view bytes);
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

void model_config(std::string_view bytes);  // config.json of a Hugging Face folder
void weight_index(std::string_view bytes);  // model.safetensors.index.json for a file of two tensors
void manifest(std::string_view bytes);

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
                                      {"jsonl", jsonl},
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
                                      {"model_config", model_config},
                                      {"weight_index", weight_index},
                                      {"manifest", manifest}};

}  // namespace gptmoe::fuzz
