#pragma once
// The analysis.json of `gptmoe analyze`, whose fields docs/analysis.md defines, as the reports draw it.
#include "base/statistics.h"
#include "report/collapse.h"

namespace gptmoe {

struct AnalysisLog {
  using Values = std::vector<double>;  // by layer, unless said otherwise
  using Table = std::vector<Values>;   // [layer][expert]
  using Tables = std::vector<Table>;   // [layer][expert][expert]

  // One method at one K.
  struct Similarity {
    std::string method, scope;
    int64_t experts_per_token = 0;
    Values cosine, cosine_std, norm_ratio;
  };

  int64_t step = 0, experts = 0, experts_per_token = 0;
  std::string router;
  std::vector<int64_t> layers;  // their places in the model
  std::vector<std::string> notes;
  int64_t routing_tokens = 0, gradient_batches = 0, batch_tokens = 0;

  Values router_entropy;
  Table expert_load;
  Tables coactivation;               // empty for one expert per token
  std::vector<std::string> domains;  // empty where none were given
  int64_t domain_tokens = 0;         // of each
  Tables domain_share;               // [layer][domain][expert]
  Table domain_mean;                 // [layer][expert] over domains
  Values domain_distance;
  std::string default_source;  // empty where there are no default vectors
  Table default_norm;
  Values mean_cosine;
  Tables cosine;
  Table chosen_error, chosen_norm, others_error, others_norm;
  std::vector<Similarity> similarities;
  std::vector<CollapsePoint> collapse;

  // nullptr where it was not measured.
  const Similarity* find(const std::string& method, const std::string& scope, int64_t experts_per_token) const;
};

// Throws UserError naming `file` where the JSON is not what this version of `gptmoe analyze` writes.
AnalysisLog parse_analysis(const nlohmann::ordered_json& json, const std::filesystem::path& file);

}  // namespace gptmoe
