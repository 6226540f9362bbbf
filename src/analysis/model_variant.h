#pragma once
// A checkpoint's model with another router: the same parameters, but another choice and combination of experts.
#include <functional>
#include <vector>

#include "analysis/vectors.h"
#include "engine/engine.h"
#include "model/moe_observer.h"

namespace gptmoe {

// Batches 0 ... count-1 to measure on. Each has B sequences, where B is the engine's. fill() writes one batch into an
// engine.
struct Batches {
  int64_t count = 0;
  std::function<void(Engine&, int64_t batch)> fill;
};

// Called after every pass through a model.
using PassDone = std::function<void()>;

// `config` with another router and K, and without the balance and z losses: gradients come from cross-entropy alone.
Config with_router(Config config, const RouterConfig& router, int64_t experts_per_token);

// The vectors that routers of type "default" keep, [MoE layer][expert][C]; empty for other routers.
std::vector<Table> read_default_vectors(const Gpt& gpt, Memory& memory);

class ModelVariant {
 public:
  // Copies the parameters of `from`, which was committed with the same ops and has the sizes of `config`. The variant's
  // batches have the B and T of `from`. Throws UserError if there is not enough memory.
  ModelVariant(const Config& config, Engine& from, Ops& ops);

  // Replaces the default vectors. The router must have the type "default".
  void set_default_vectors(const std::vector<Table>& vectors);
  std::vector<Table> default_vectors() const { return read_default_vectors(engine_.gpt(), ops_.memory()); }

  // Runs a forward pass that lets the router learn.
  void observe(const Batches& batches, int64_t batch);
  // d(mean cross-entropy) / dW of every MoE layer's router, flattened (E * C). The router does not learn.
  Table router_gradients(const Batches& batches, int64_t batch, MoeObserver* observer = nullptr);

 private:
  const Activations& activations() const { return engine_.activations(); }
  Pass pass(PassKind kind) { return {ops_, engine_.scratch(), *communicator_, kind}; }

  Ops& ops_;
  std::unique_ptr<Communicator> communicator_ = make_single_communicator();
  Engine engine_;
};

}  // namespace gptmoe
