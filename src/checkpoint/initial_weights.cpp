#include "checkpoint/initial_weights.h"

#include <algorithm>
#include <charconv>
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

// Names that differ only in their numbers.
struct NameGroup {
  std::string pattern;                              // "model.layers.*.mlp.gate.weight"
  std::vector<std::pair<int64_t, int64_t>> ranges;  // lowest and highest value of each number
  int64_t count = 1;
};

NameGroup group_of(const std::string& name) {
  NameGroup group;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    const std::string word = name.substr(begin, end - begin);
    int64_t number = 0;
    const auto [rest, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    const bool is_number = error == std::errc() && rest == word.data() + word.size();
    if (is_number) group.ranges.emplace_back(number, number);
    group.pattern += (begin > 0 ? "." : "") + (is_number ? "*" : word);
    begin = end + 1;
  }
  return group;
}

// "model.layers.2-5.mlp.gate.weight (4)".
std::string group_text(const NameGroup& group) {
  std::string out;
  size_t number = 0;
  for (const char c : group.pattern) {
    if (c != '*') {
      out += c;
      continue;
    }
    const auto& [first, last] = group.ranges[number++];
    out += first == last ? text(first) : text(first, "-", last);
  }
  return group.count > 1 ? text(out, " (", group.count, ")") : out;
}

std::vector<std::string> grouped(const std::vector<std::string>& names) {
  std::vector<NameGroup> groups;
  for (const std::string& name : names) {
    const NameGroup own = group_of(name);
    const auto known = std::find_if(groups.begin(), groups.end(),
                                    [&](const NameGroup& group) { return group.pattern == own.pattern; });
    if (known == groups.end()) {
      groups.push_back(own);
      continue;
    }
    ++known->count;
    for (size_t i = 0; i < own.ranges.size(); ++i) {
      auto& [first, last] = known->ranges[i];
      first = std::min(first, own.ranges[i].first);
      last = std::max(last, own.ranges[i].second);
    }
  }
  std::vector<std::string> out;
  for (const NameGroup& group : groups) out.push_back(group_text(group));
  return out;
}

}  // namespace

InitialWeights::InitialWeights(const TensorReader& from, const std::string& place, const ParamTable& params,
                               const StateTable& state)
    : tensors_(from) {
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
  for (const std::string& name : tensors_.names())
    if (!used.contains(name)) left_over.push_back(name);
  if (used.size() == 1 && used.contains(""))
    user_error(place, ": holds no tensor that the model has; its first tensor is \"",
               left_over.empty() ? "" : left_over[0], "\"");
  missing_ = grouped(missing);
  left_over_ = grouped(left_over);
}

InitialWeights::Choice InitialWeights::choose(const std::string& row, DType dtype,
                                              const std::vector<int64_t>& sizes) const {
  Choice choice;
  if (tensors_.holds(row)) choice.tensor = row;
  const ExpertRow expert = expert_row(row);
  if (choice.tensor.empty() && !expert.layer.empty() && tensors_.holds(expert.layer + expert.name))
    choice = {expert.layer + expert.name, true};
  if (choice.tensor.empty()) return choice;
  try {
    tensors_.check(choice.tensor, choice.upcycled ? DType::f32 : dtype, sizes);
  } catch (const UserError& error) {
    user_error(error.what(),
               choice.upcycled ? "; an expert is as wide as the dense layer that it is copied from: set "
                                 "model.moe_intermediate_size to that width"
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
        tensors_.read_part(choice.tensor, part.first, part.elements, memory);
    } else if (std::any_of(upcycled_layers_.begin(), upcycled_layers_.end(), is_router_of)) {
      initialize_row(memory, params.row_parts(row), row.count, Init::normal(row.init.std * upcycling.router_scale),
                     upcycling.seed, row.name);
    }
  }
  for (size_t i = 0; i < state.rows().size(); ++i)
    if (const std::string& tensor = state_choices_[i].tensor; !tensor.empty())
      tensors_.read_part(tensor, 0, state.rows()[i].value, memory);
}

void InitialWeights::load_copy(const ParamTable& params, const ParamRow& row, const std::string& tensor, Memory& memory,
                               const Upcycling& upcycling) const {
  std::vector<float> values(static_cast<size_t>(row.count));
  tensors_.read_part(tensor, 0, Tensor(values.data(), DType::f32, {row.count}), host_memory());
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
