#pragma once
// The one table of names: what each class of Hugging Face transformers calls our tensors. An import reads it in the
// other direction.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gptmoe {

// How one of our tensors becomes a tensor of the class.
enum class Change : uint8_t {
  none,     // the same values
  doubled,  // theirs = 2 ours
  // The rows of q_proj, k_proj and v_proj become one tensor: for each head its query rows, its key rows, its value
  // rows.
  query_rows,
  key_rows,
  value_rows,
};

// In both names, {layer} and {expert} stand for numbers.
struct TensorName {
  std::string ours;    // as in checkpoints
  std::string theirs;  // empty: only training needs the tensor, so the class has none
  Change change = Change::none;
};

const std::vector<TensorName>& olmoe_names();
const std::vector<TensorName>& mixtral_names();
const std::vector<TensorName>& qwen2_moe_names();
const std::vector<TensorName>& qwen3_moe_names();
const std::vector<TensorName>& qwen3_names();
const std::vector<TensorName>& phimoe_names();
const std::vector<TensorName>& llama_names();
const std::vector<TensorName>& stablelm_names();
const std::vector<TensorName>& gpt_neox_names();
const std::vector<TensorName>& gptmoe_names();  // our own class: the names of checkpoints

// Rewrites `name` from the pattern `from` to the pattern `to`, with the same numbers; nullopt if `name` does not match
// `from`. renamed("h.{layer}.w", "layers.{layer}.v", "h.3.w") == "layers.3.v".
std::optional<std::string> renamed(const std::string& from, const std::string& to, const std::string& name);

}  // namespace gptmoe
