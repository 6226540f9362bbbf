#pragma once
// The layers of one config, with their own memory, run alone on random tokens.
#include "bench/measure.h"
#include "bench/op_timer.h"
#include "bench/variants.h"
#include "model/attention.h"
#include "model/moe_layer.h"

namespace gptmoe {

class Layers {
 public:
  struct Layer {
    std::string name;
    std::function<void(const Pass&)> forward, backward;
  };
  // The least cost of a pass through a layer, summed over its ops. `floor` is in seconds (Ceilings::floor_of()).
  struct Cost {
    double flops = 0, bytes = 0, floor = 0;
  };

  // Throws UserError if the config has no experts.
  explicit Layers(const Variant& variant);

  Ops& ops() const { return *ops_; }
  const std::string& label() const { return label_; }
  std::string shape() const;  // N x C
  // In this order: the MoE layer, a dense FFN as wide as the experts that a token uses, attention.
  const std::vector<Layer>& layers() const { return layers_; }
  Cost cost(const std::function<void(const Pass&)>& pass, const Ceilings& ceilings);
  // The time of one pass, which is `forward` or `backward` of a layer. Run a forward pass before each backward pass,
  // which consumes its results.
  double seconds(const std::function<void(const Pass&)>& pass);

 private:
  int64_t active_width() const;
  void lay_out();
  void start(uint64_t seed);
  Pass pass(Ops& ops) { return {ops, scratch_, *communicator_, PassKind::train}; }

  std::string label_;
  ModelConfig model_;
  int64_t B_, T_;
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<Communicator> communicator_;
  ParamTable params_;
  StateTable state_;
  LayerSetup declare_;
  MoeLayer moe_;
  Mlp dense_;
  Attention attention_;
  Arena arena_{"layers"};
  Scratch scratch_;
  RopeTables rope_;
  MoeSaved moe_saved_;
  MlpSaved dense_saved_;
  AttentionSaved attention_saved_;
  Tensor x_NC_, y_NC_, dy_NC_, dx_NC_;
  std::vector<Layer> layers_;
};

}  // namespace gptmoe
