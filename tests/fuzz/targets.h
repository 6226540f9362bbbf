#pragma once
// What a fuzzer may throw at the readers of foreign files. Each takes any bytes, and returns or throws nothing: damaged
// input must end in UserError inside, everything else is a finding. Run by libFuzzer (tools/fuzz.sh), and by the tests
// on the seeds and on mutations of them.
#include <string_view>

namespace gptmoe::fuzz {

void tokenizer_json(std::string_view bytes);
void gpt2_files(std::string_view bytes);  // vocab.json, a NUL, merges.txt
void rank_file(std::string_view bytes);
void shard(std::string_view bytes);
void jsonl(std::string_view bytes);
void compressed(std::string_view bytes);

struct Target {
  std::string_view name;  // of its folder in tests/fuzz/seeds
  void (*run)(std::string_view bytes);
};
inline constexpr Target kTargets[] = {{"tokenizer_json", tokenizer_json},
                                      {"gpt2_files", gpt2_files},
                                      {"rank_file", rank_file},
                                      {"shard", shard},
                                      {"jsonl", jsonl},
                                      {"compressed", compressed}};

}  // namespace gptmoe::fuzz
