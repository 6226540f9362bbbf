#include "analysis/analysis.h"

#include <algorithm>

#include "base/json.h"
#include "routing/router_table.h"

namespace gptmoe {
namespace {

// The number of batches that a Default router observes before its vectors are used. The vectors' initial value, zero,
// then has the weight 0.9^50.
constexpr int64_t kWatchedBatches = 50;
const RouterConfig kDense{"dense", {}};

class DenseObserver : public MoeObserver {
 public:
  DenseObserver(DefaultError& errors, RouterScope& gradients) : errors_(errors), gradients_(gradients) {}
  void forward(const Routing& routing, const Tensor& rows_RC) override { errors_.forward(routing, rows_RC); }
  void backward(const Routing& routing, const Tensor& x_NC, const Tensor& dy_NC, const Tensor& dprobs_NE) override {
    gradients_.backward(routing, x_NC, dy_NC, dprobs_NE);
  }

 private:
  DefaultError& errors_;
  RouterScope& gradients_;
};

class Analyst {
 public:
  Analyst(const Config& config, Engine& engine, Ops& ops, const Batches& batches, const std::vector<Domain>& domains,
          const AnalysisOptions& options, const AnalysisProgress& progress)
      : config_(config), engine_(engine), ops_(ops), batches_(batches), domains_(domains), progress_(progress) {
    analysis_.batches = {std::min(options.profile_batches, batches.count),
                         std::min(options.gradient_batches, batches.count)};
    analysis_.experts = config.model.num_experts;
    analysis_.experts_per_token =
        make_routing_policy(config.router, router_setup(config.model))->live_experts_per_token();
    plan();
  }

  Analysis run();

 private:
  void plan();
  void gather_default_vectors();
  void measure_router_scope();
  void measure_model_scope(Method method);
  ModelVariant variant(const RouterConfig& router, int64_t K) {
    return ModelVariant(with_router(config_, router, K), engine_, ops_);
  }
  RouterConfig default_router() const {
    return config_.router.type == "default" ? config_.router : RouterConfig{"default", {}};
  }
  bool renormalises() const { return config_.model.norm_topk_prob; }
  PassDone done() {
    return [this] { progress_(++passes_done_, passes_); };
  }

  const Config& config_;
  Engine& engine_;
  Ops& ops_;
  const Batches& batches_;
  const std::vector<Domain>& domains_;
  const AnalysisProgress& progress_;
  int64_t passes_ = 0, passes_done_ = 0;
  bool compares_ = false;
  std::vector<int64_t> Ks_;
  std::vector<Table> dense_;  // [batch][MoE layer] the dense router's gradient
  std::optional<SimilaritySeries> series_;
  Analysis analysis_;
};

void Analyst::plan() {
  const std::string& type = config_.router.type;
  compares_ = type == "topk" || type == "default" || type == "dense";
  passes_ = analysis_.batches.profile_batches;
  for (const Domain& domain : domains_) passes_ += domain.batches.count;
  if (!compares_) {
    analysis_.notes.push_back(
        text("Default vectors and gradients are only measured for the routers topk, default and dense; this run's is ",
             type, "."));
    analysis_.batches.gradient_batches = 0;
    return;
  }
  analysis_.default_source = type == "default" ? DefaultSource::checkpoint
                             : renormalises()  ? DefaultSource::none
                                               : DefaultSource::estimated;
  if (analysis_.default_source == DefaultSource::none)
    analysis_.notes.push_back("There are no default vectors: model.norm_topk_prob leaves no probability for them.");
  if (analysis_.default_source == DefaultSource::estimated) {
    passes_ += kWatchedBatches;
    analysis_.notes.push_back(
        text("The run has no default vectors; they are estimated from ", kWatchedBatches,
             " batches by a Default router with its default settings, which does not change the forward."));
  }
  for (int64_t K = 1; K < analysis_.experts; ++K) Ks_.push_back(K);
  if (Ks_.empty()) analysis_.notes.push_back("A router with one expert has no choice and no gradient.");
  const int64_t methods = analysis_.default_source == DefaultSource::none ? 1 : 2;
  passes_ += analysis_.batches.gradient_batches * (1 + methods * std::ssize(Ks_));
}

Analysis Analyst::run() {
  progress_(0, passes_);
  analysis_.layers = profile_routing(engine_, ops_, batches_, analysis_.batches.profile_batches, done());
  analysis_.domains = profile_domains(engine_, ops_, domains_, done());
  if (!compares_) return std::move(analysis_);
  series_.emplace(analysis_.layers.size());
  gather_default_vectors();
  measure_router_scope();
  measure_model_scope(Method::topk);
  if (!analysis_.default_vectors.empty()) measure_model_scope(Method::default_moe);
  analysis_.gradients = series_->results();
  return std::move(analysis_);
}

void Analyst::gather_default_vectors() {
  if (analysis_.default_source == DefaultSource::checkpoint)
    analysis_.default_vectors = read_default_vectors(engine_.gpt(), ops_.memory());
  if (analysis_.default_source != DefaultSource::estimated) return;
  ModelVariant watcher = variant({"default", nlohmann::json{{"default_forward", false}}}, analysis_.experts_per_token);
  // Prefers batches that are not used for measurements.
  const int64_t others = batches_.count - analysis_.batches.gradient_batches;
  for (int64_t i = 0; i < kWatchedBatches; ++i) {
    watcher.observe(batches_, others > 0 ? analysis_.batches.gradient_batches + i % others : i % batches_.count);
    done()();
  }
  analysis_.default_vectors = watcher.default_vectors();
}

void Analyst::measure_router_scope() {
  const Tensor& tokens_BT = engine_.activations().tokens_BT;
  DefaultError errors(ops_.memory(), analysis_.default_vectors, analysis_.experts_per_token);
  RouterScope gradients(ops_, tokens_BT.count(), config_.model.hidden_size, analysis_.experts, Ks_,
                        analysis_.default_vectors, renormalises(), analysis_.layers.size(), *series_);
  DenseObserver both(errors, gradients);
  MoeObserver& observer = analysis_.default_vectors.empty() ? static_cast<MoeObserver&>(gradients) : both;
  ModelVariant dense = variant(kDense, analysis_.experts_per_token);
  for (int64_t batch = 0; batch < analysis_.batches.gradient_batches; ++batch) {
    dense_.push_back(dense.router_gradients(batches_, batch, &observer));
    done()();
  }
  analysis_.chosen = errors.of_chosen();
  analysis_.others = errors.of_others();
}

void Analyst::measure_model_scope(Method method) {
  for (const int64_t K : Ks_) {
    ModelVariant model = variant(method == Method::topk ? RouterConfig{} : default_router(), K);
    if (method == Method::default_moe) model.set_default_vectors(analysis_.default_vectors);
    for (size_t batch = 0; batch < dense_.size(); ++batch) {
      const Table gradients = model.router_gradients(batches_, static_cast<int64_t>(batch));
      for (size_t layer = 0; layer < gradients.size(); ++layer)
        series_->add(Scope::model, method, K, layer, gradients[layer], dense_[batch][layer]);
      done()();
    }
  }
}

}  // namespace

Analysis analyze(const Config& config, Engine& engine, Ops& ops, const Batches& batches,
                 const std::vector<Domain>& domains, const AnalysisOptions& options, const AnalysisProgress& progress) {
  GPTMOE_CHECK(config.model.moe_layers() > 0 && batches.count > 0 && options.profile_batches > 0 &&
               options.gradient_batches > 0);
  return Analyst(config, engine, ops, batches, domains, options, progress).run();
}

}  // namespace gptmoe
