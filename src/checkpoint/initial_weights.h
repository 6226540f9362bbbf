#pragma once
// Starts a new run from the weights of an existing model (train.init_from). Takes only weights and router state; the
// optimizer, the schedule and the data start anew.
#include <string>
#include <vector>

#include "checkpoint/tensor_reader.h"
#include "memory/param_table.h"
#include "memory/state_table.h"

namespace gptmoe {

// How a dense feed-forward layer becomes the experts of a MoE layer (model/upcycling.h).
struct Upcycling {
  double output_scale = 1;  // multiplies the experts' down projections
  double router_scale = 1;  // multiplies the standard deviation of the router's initial weights
  double noise = 0;         // std of the noise on each copied tensor, as a share of the tensor's root mean square
  uint64_t seed = 0;        // of the noise and of the router's weights
};

class InitialWeights {
 public:
  // Finds a tensor of `from`, which must outlive this object, for every row of `params` and every persistent row of
  // `state`:
  // - the tensor with the row's name;
  // - if there is none and the row is an expert's, named PREFIXexperts.INDEX.NAME: the dense layer's tensor PREFIXNAME;
  // - otherwise none: the row keeps its initial values.
  // The tables need no memory yet. Throws UserError naming the tensor if its shape differs from the row's, and naming
  // `place` if no row has a tensor.
  InitialWeights(const TensorReader& from, const std::string& place, const ParamTable& params, const StateTable& state);

  int64_t upcycled_rows() const { return upcycled_rows_; }

  // Writes (=) the rows that have a tensor, and the router weights of upcycled layers. The tables must be initialised,
  // with their memory in `memory`.
  void load(const ParamTable& params, const StateTable& state, Memory& memory, const Upcycling& upcycling = {}) const;

  // Rows without a tensor, and tensors without a row. Names that differ only in their numbers are one entry with
  // the lowest and the highest number: "model.layers.2-5.mlp.gate.weight (4)".
  const std::vector<std::string>& missing() const { return missing_; }
  const std::vector<std::string>& left_over() const { return left_over_; }

 private:
  struct Choice {
    std::string tensor;  // empty: none
    bool upcycled = false;
  };
  Choice choose(const std::string& row, DType dtype, const std::vector<int64_t>& sizes) const;
  void load_copy(const ParamTable& params, const ParamRow& row, const std::string& tensor, Memory& memory,
                 const Upcycling& upcycling) const;

  const TensorReader& tensors_;
  std::vector<Choice> param_choices_, state_choices_;  // by row
  std::vector<std::string> upcycled_layers_;           // prefixes, such as "model.layers.3.mlp."
  int64_t upcycled_rows_ = 0;
  std::vector<std::string> missing_, left_over_;
};

}  // namespace gptmoe
