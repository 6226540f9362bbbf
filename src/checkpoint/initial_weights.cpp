#include "checkpoint/initial_weights.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <set>

#include "base/rng.h"

namespace gptmoe {
namespace {

constexpr std::string_view kExperts = ".experts.";

struct ExpertRow {
  std::string layer, name;  // "model.layers.3.mlp.", "up_proj.weight"
};

// The parts of "model.layers.3.mlp.experts.7.up_proj.weight"; empty if the row is not an expert's.
ExpertRow expert_row(const std::string& row) {
  const size_t experts = row.rfind(kExperts);
  if (experts == std::string::npos) return {};
  const size_t number = experts + kExperts.size();
  const size_t end = row.find('.', number);
  if (end == std::string::npos) return {};
  return {row.substr(0, experts + 1), row.substr(end + 1)};
}

// "model.layers.3.mlp.gate.weight" -> "model.layers.*.mlp.gate.weight".
std::string without_numbers(const std::string& name) {
  std::string out;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    const std::string word = name.substr(begin, end - begin);
    const bool number =
        !word.empty() && std::all_of(word.begin(), word.end(), [](unsigned char c) { return std::isdigit(c); });
    out += (begin > 0 ? "." : "") + (number ? "*" : word);
    begin = end + 1;
  }
  return out;
}

std::vector<std::string> grouped(const std::vector<std::string>& names) {
  std::vector<std::pair<std::string, int64_t>> groups;
  for (const std::string& name : names) {
    const std::string pattern = without_numbers(name);
    const auto known = std::find_if(groups.begin(), groups.end(), [&](auto& group) { return group.first == pattern; });
    if (known == groups.end())
      groups.emplace_back(pattern, 1);
    else
      ++known->second;
  }
  std::vector<std::string> out;
  for (const auto& [pattern, count] : groups) out.push_back(count > 1 ? text(pattern, " (", count, ")") : pattern);
  return out;
}

}  // namespace

InitialWeights::InitialWeights(const std::filesystem::path& from, const ParamTable& params, const StateTable& state,
                               World* world)
    : checkpoint_(std::filesystem::canonical(resolve_checkpoint(from))), model_(open_model(checkpoint_, world)) {
  std::vector<std::string> missing, left_over;
  std::set<std::string> used;
  const auto note = [&](std::vector<Choice>& choices, const std::string& row, Choice choice) {
    if (choice.tensor.empty()) missing.push_back(row);
    used.insert(choice.tensor);
    choices.push_back(std::move(choice));
  };
  for (const ParamRow& row : params.rows()) {
    const DType dtype = params.row_parts(row).back().elements.dtype();
    note(param_choices_, row.name, choose(row.name, dtype, row.sizes));
    if (!param_choices_.back().upcycled) continue;
    ++upcycled_rows_;
    const std::string layer = expert_row(row.name).layer;
    if (std::count(upcycled_layers_.begin(), upcycled_layers_.end(), layer) == 0) upcycled_layers_.push_back(layer);
  }
  for (const StateRow& row : state.rows()) {
    if (row.persistent)
      note(state_choices_, row.name, choose(row.name, row.dtype, row.sizes));
    else
      state_choices_.emplace_back();
  }
  for (const SafetensorsFile::Entry& entry : model_.tensors.entries())
    if (!used.contains(entry.name)) left_over.push_back(entry.name);
  if (used.size() == 1 && used.contains(""))
    user_error(checkpoint_.string(), ": no tensor of this checkpoint fits the model; its first is \"",
               left_over.empty() ? "" : left_over[0], "\"");
  missing_ = grouped(missing);
  left_over_ = grouped(left_over);
}

InitialWeights::Choice InitialWeights::choose(const std::string& row, DType dtype,
                                              const std::vector<int64_t>& sizes) const {
  Choice choice;
  if (model_.tensors.find(row)) choice.tensor = row;
  const ExpertRow expert = expert_row(row);
  if (choice.tensor.empty() && !expert.layer.empty() && model_.tensors.find(expert.layer + expert.name))
    choice = {expert.layer + expert.name, true};
  if (choice.tensor.empty()) return choice;
  try {
    model_.tensors.check(choice.tensor, choice.upcycled ? DType::f32 : dtype, sizes);
  } catch (const UserError& error) {
    user_error(
        error.what(),
        choice.upcycled
            ? "; an expert is as wide as the dense layer it is copied from: give model.moe_intermediate_size that width"
            : "; train.init_from needs a model whose tensors of the same name have the same shape");
  }
  return choice;
}

void InitialWeights::load(const ParamTable& params, const StateTable& state, Memory& memory,
                          const Upcycling& upcycling) const {
  for (size_t i = 0; i < params.rows().size(); ++i) {
    const ParamRow& row = params.rows()[i];
    const Choice& choice = param_choices_[i];
    const auto is_router_of = [&](const std::string& layer) { return row.name == layer + "gate.weight"; };
    if (choice.upcycled) {
      load_copy(params, row, choice.tensor, memory, upcycling);
    } else if (!choice.tensor.empty()) {
      for (const RowPart& part : params.row_parts(row))
        model_.tensors.read_part(choice.tensor, part.first, part.elements, memory);
    } else if (std::any_of(upcycled_layers_.begin(), upcycled_layers_.end(), is_router_of)) {
      initialize_row(memory, params.row_parts(row), row.count, Init::normal(row.init.std * upcycling.router_scale),
                     upcycling.seed, row.name);
    }
  }
  for (size_t i = 0; i < state.rows().size(); ++i)
    if (const std::string& tensor = state_choices_[i].tensor; !tensor.empty())
      model_.tensors.read(tensor, state.rows()[i].value, memory);
}

void InitialWeights::load_copy(const ParamTable& params, const ParamRow& row, const std::string& tensor, Memory& memory,
                               const Upcycling& upcycling) const {
  std::vector<float> values(static_cast<size_t>(row.count));
  model_.tensors.read_part(tensor, 0, Tensor(values.data(), DType::f32, {row.count}), host_memory());
  const double scale = row.name.ends_with("down_proj.weight") ? upcycling.output_scale : 1;
  double squares = 0;
  for (const float value : values) squares += static_cast<double>(value) * value;
  const double noise = upcycling.noise * std::sqrt(squares / static_cast<double>(row.count));
  const Rng rng(upcycling.seed, hash_bytes("noise of " + row.name));
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < row.count; ++i) {
    float& value = values[static_cast<size_t>(i)];
    const double added = noise > 0 ? noise * rng.normal(static_cast<uint64_t>(i)) : 0.0;
    value = static_cast<float>(scale * (static_cast<double>(value) + added));
  }
  for (const RowPart& part : params.row_parts(row)) upload_floats(memory, part.elements, values.data() + part.first);
}

}  // namespace gptmoe
