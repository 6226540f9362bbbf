#pragma once
// The analysis.json of `gptmoe analyze`. docs/analysis.md defines the quantities, docs/run_files.md lists the fields.
// Unknown numbers are null in the file and NaN here.
#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/statistics.h"
#include "records/expert_load.h"
#include "records/record.h"

namespace gptmoe {

// The MoE layers at one evaluation of the run.
struct CollapsePoint {
  int64_t step = 0;
  int64_t tokens = 0;
  std::vector<int64_t> dead_experts;
  std::vector<double> load_max, load_min;  // divided by the fair share
  std::vector<double> entropy_share;       // router entropy over ln E; NaN for one expert
};

struct CollapseLog {
  std::vector<CollapsePoint> evals;
};

struct AnalysisLog {
  using Values = std::vector<double>;  // by layer, unless said otherwise
  using Table = std::vector<Values>;   // [layer][expert]
  using Tables = std::vector<Table>;   // [layer][expert][expert]

  // The router gradients of one method with one K, compared with the dense router's.
  struct Similarity {
    std::string method, scope;
    int64_t experts_per_token = 0;
    std::vector<Statistics> cosine, norm_ratio;  // by layer; only mean and std
  };

  std::string checkpoint;
  int64_t step = 0, experts = 0, experts_per_token = 0;
  std::string router;
  std::vector<int64_t> layers;  // their indices in the model
  std::string data;
  int64_t batch_tokens = 0, routing_tokens = 0, routing_batches = 0, gradient_batches = 0;
  std::vector<std::string> notes;

  Values router_entropy;
  Table expert_load;
  Tables coactivation;               // empty with one expert per token
  std::vector<std::string> domains;  // empty if none were given
  std::vector<std::string> domain_data;
  int64_t domain_tokens = 0;  // per domain
  Tables domain_share;        // [layer][domain][expert]
  Table domain_mean;          // [layer][expert] over domains
  Values domain_distance;
  std::string default_source;  // empty without default vectors
  Table default_norm;
  Values mean_cosine;
  Tables cosine;
  Table chosen_error, chosen_norm, others_error, others_norm;
  std::vector<Similarity> similarities;
  CollapseLog collapse;

  // The similarity of one method in one scope at one K; nullptr if it was not measured.
  const Similarity* find(const std::string& method, const std::string& scope, int64_t experts_per_token) const;
};

// Reads the analysis in `file`, or in `json`, the content of `file`. Throws UserError naming the file and the first
// field that differs from what this version of `gptmoe analyze` writes.
AnalysisLog read_analysis(const std::filesystem::path& file);
AnalysisLog parse_analysis(const nlohmann::ordered_json& json, const std::filesystem::path& file);

template <typename Visitor, Is<Statistics> Record>
void visit_fields(Visitor& visitor, Record& spread) {
  visitor.field("mean", spread.mean, "Mean over batches.");
  visitor.field("std", spread.std, "Sample standard deviation over batches.");
}

template <typename Visitor, Is<CollapsePoint> Record>
void visit_fields(Visitor& visitor, Record& point) {
  visitor.field("step", point.step, "Step of the evaluation.");
  visitor.field("tokens", point.tokens, "Training tokens seen.");
  visitor.field("dead_experts", point.dead_experts, "Number of dead experts in each layer.");
  visitor.field("load_max", point.load_max, "Load of each layer's busiest expert, divided by the fair share.");
  visitor.field("load_min", point.load_min, "Load of each layer's idlest expert, divided by the fair share.");
  visitor.field("entropy_share", point.entropy_share, "Router entropy of each layer, divided by ln E.");
}

template <typename Visitor, Is<CollapseLog> Record>
void visit_fields(Visitor& visitor, Record& collapse) {
  visitor.derived("dead_below", kDeadShare, "An expert with less than this fraction of its fair share counts as dead.");
  visitor.field("evals", collapse.evals, "One object per evaluation of the run.");
}

template <typename Visitor, Is<AnalysisLog::Similarity> Record>
void visit_fields(Visitor& visitor, Record& similarity) {
  visitor.field("method", similarity.method, "`topk` or `default`.");
  visitor.field("scope", similarity.scope, "`router` or `model`.");
  visitor.field("experts_per_token", similarity.experts_per_token, "K of the method.");
  visitor.field("cosine", similarity.cosine, "Cosine between each layer's router gradient and the dense router's.");
  visitor.field("norm_ratio", similarity.norm_ratio,
                "Norm of each layer's router gradient, divided by the norm of the dense router's.");
}

template <typename Visitor, Is<AnalysisLog> Record>
void visit_fields(Visitor& visitor, Record& log) {
  visitor.field("checkpoint", log.checkpoint, "The checkpoint, relative to the run directory.");
  visitor.field("step", log.step, "Step of the checkpoint.");
  visitor.field("router", log.router, "router.type of the run.");
  visitor.field("layers", log.layers, "Indices of the MoE layers in the model; all lists by layer follow this order.");
  visitor.field("data", log.data, "Glob of the shards used for measuring.");
  visitor.field("batch_tokens", log.batch_tokens, "Tokens in a batch.");
  visitor.field("routing_tokens", log.routing_tokens, "Tokens used to measure the routing.");
  visitor.field("experts", log.experts, "Experts per layer, E.");
  visitor.field("experts_per_token", log.experts_per_token, "Experts per token, K.");
  visitor.field("routing_batches", log.routing_batches, "Batches used to measure the routing.");
  visitor.field("gradient_batches", log.gradient_batches, "Batches used to measure gradients and errors.");
  visitor.field("notes", log.notes, "What was estimated or not measured, and why.");
  visitor.field("router_entropy", log.router_entropy, "Mean router entropy of each layer in nats.");
  visitor.field("expert_load", log.expert_load, "Share of each layer's assignments that each expert received.");
  visitor.nullable("coactivation", log.coactivation,
                   "[layer][i][j]: share of expert i's tokens that are also routed to expert j; null with one expert "
                   "per token.");
  visitor.group("domains", !log.domains.empty(), "Routing by domain; null without --domain.", [&log](auto& domains) {
    domains.field("names", log.domains, "Names of the domains.");
    domains.field("data", log.domain_data, "Globs of the domains' shards.");
    domains.field("tokens", log.domain_tokens, "Tokens measured in each domain.");
    domains.field("expert_share", log.domain_share, "[layer][domain][expert] share of the domain's assignments.");
    domains.field("mean_share", log.domain_mean, "[layer][expert] mean of the shares over domains.");
    domains.field("distance", log.domain_distance,
                  "For each layer: mean distance of the domains' shares from the mean share.");
  });
  visitor.group("default_vectors", !log.default_source.empty(), "The default vectors; null if there are none.",
                [&log](auto& vectors) {
                  vectors.field("source", log.default_source,
                                "`checkpoint`, or `estimated` if the run's router has no default vectors.");
                  vectors.field("norm", log.default_norm, "[layer][expert] norm of the vector.");
                  vectors.field("mean_cosine", log.mean_cosine, "Mean cosine between the vectors of each layer.");
                  vectors.field("cosine", log.cosine, "[layer][i][j] cosine between the vectors of experts i and j.");
                });
  visitor.group(
      "default_error", !log.default_source.empty(),
      "Distance of the vectors from the experts' outputs; null if there are no vectors.", [&log](auto& errors) {
        errors.group("chosen", true, "Means over the tokens that chose the expert.", [&log](auto& chosen) {
          chosen.field("error", log.chosen_error, "[layer][expert] mean distance.");
          chosen.field("expert_norm", log.chosen_norm, "[layer][expert] mean norm of the expert's output.");
        });
        errors.group("others", true, "Means over the tokens that did not choose the expert.", [&log](auto& others) {
          others.field("error", log.others_error, "[layer][expert] mean distance.");
          others.field("expert_norm", log.others_norm, "[layer][expert] mean norm of the expert's output.");
        });
      });
  visitor.field("gradient_similarity", log.similarities, "Router gradients compared with the dense router's.");
  visitor.field("collapse", log.collapse, "Whether the routers collapsed onto few experts during training.");
}

}  // namespace gptmoe
