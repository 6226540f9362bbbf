#pragma once
// Everything `gptmoe analyze` measures of a model: docs/analysis.md defines each quantity.
#include "analysis/default_error.h"
#include "analysis/domain_routing.h"
#include "analysis/router_gradients.h"
#include "analysis/routing_profile.h"
#include "records/analysis_log.h"

namespace gptmoe {

struct AnalysisOptions {
  int64_t profile_batches = 1;   // for the routing; at most the batches there are
  int64_t gradient_batches = 1;  // for gradients and errors; likewise
};

// Where the default vectors come from.
enum class DefaultSource {
  none,        // the router has no use for them
  checkpoint,  // the run's own
  estimated,   // gathered by a Default router that watches the run's model
};

struct Analysis {
  int64_t experts = 0, experts_per_token = 0;
  AnalysisOptions batches;
  std::vector<std::string> notes;    // what was not measured, and why
  std::vector<LayerProfile> layers;  // by mixture, as everything below
  DomainRouting domains;
  DefaultSource default_source = DefaultSource::none;
  std::vector<Table> default_vectors;         // [mixture][expert][C]
  ErrorMeans chosen, others;                  // of the default vectors; empty without
  std::vector<GradientSimilarity> gradients;  // K = 1 ... E - 1
};

// How far the analysis is, in passes through a model.
using AnalysisProgress = std::function<void(int64_t done, int64_t total)>;

// `engine` holds the model that `config` describes, committed by `ops`, for batches of its size. At least one batch
// and one mixture. Its parameters and its router's state stay as they are. `domains` may be empty.
Analysis analyze(const Config& config, Engine& engine, Ops& ops, const Batches& batches,
                 const std::vector<Domain>& domains, const AnalysisOptions& options, const AnalysisProgress& progress);

// What analysis.json has of it; the run it is of and its collapse are for the caller to add.
AnalysisLog analysis_log(const Analysis& analysis);

}  // namespace gptmoe
