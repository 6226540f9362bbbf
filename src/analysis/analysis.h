#pragma once
// Everything that `gptmoe analyze` measures on a model; docs/analysis.md defines each quantity.
#include "analysis/default_error.h"
#include "analysis/domain_routing.h"
#include "analysis/router_gradients.h"
#include "analysis/routing_profile.h"
#include "records/analysis_log.h"

namespace gptmoe {

struct AnalysisOptions {
  int64_t profile_batches = 1;   // maximum number of batches for measuring the routing
  int64_t gradient_batches = 1;  // maximum number of batches for measuring gradients and errors
};

// The source of the default vectors.
enum class DefaultSource {
  none,        // the router does not use any
  checkpoint,  // the run's checkpoint
  estimated,   // from a Default router that observes the run's model
};

struct Analysis {
  int64_t experts = 0, experts_per_token = 0;
  AnalysisOptions batches;
  std::vector<std::string> notes;    // what was not measured, and why
  std::vector<LayerProfile> layers;  // by MoE layer, like everything below
  DomainRouting domains;
  DefaultSource default_source = DefaultSource::none;
  std::vector<Table> default_vectors;         // [MoE layer][expert][C]
  ErrorMeans chosen, others;                  // for tokens that chose an expert and for others; empty without vectors
  std::vector<GradientSimilarity> gradients;  // K = 1 ... E - 1
};

// Progress of the analysis, in passes through a model.
using AnalysisProgress = std::function<void(int64_t done, int64_t total)>;

// `engine` holds the model that `config` describes and was committed with `ops`. Batches have the engine's B and T.
// There is at least one batch and one MoE layer. Parameters and router state do not change. `domains` may be empty.
Analysis analyze(const Config& config, Engine& engine, Ops& ops, const Batches& batches,
                 const std::vector<Domain>& domains, const AnalysisOptions& options, const AnalysisProgress& progress);

// The analysis in the form of analysis.json; the caller adds the fields about the run and its collapse.
AnalysisLog analysis_log(const Analysis& analysis);

}  // namespace gptmoe
