#include "engine/muon.h"

#include <algorithm>
#include <cmath>

namespace gptmoe {
namespace {

constexpr int kIterations = 5;
constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315;

// The maximum number of elements in neighbouring rows that are updated together: enough to fill a GPU, and a bound on
// the scratch memory.
constexpr int64_t kBatchElements = int64_t{1} << 25;

// Matrix products of E pairs of matrices, a and b. The matrices of a have M rows each; `offsets` is 0, M, 2 M, ...
struct Products {
  Ops& ops;
  int64_t E;

  // c = a b^T for a (E, M, K) and b (E, N, K).
  void nt(const Tensor& c, const Tensor& a, const Tensor& b, const Tensor& offsets) const {
    if (E == 1) return ops.linear_forward(flat(c), flat(a), flat(b));
    ops.grouped_linear_forward(flat(c), flat(a), b, offsets.rows(0, E + 1));
  }
  // c = a b for a (E, M, K) and b (E, K, N).
  void nn(const Tensor& c, const Tensor& a, const Tensor& b, const Tensor& offsets) const {
    if (E == 1) return ops.linear_backward_input(flat(c), flat(a), flat(b));
    ops.grouped_linear_backward_input(flat(c), flat(a), b, offsets.rows(0, E + 1));
  }
  // c = a^T b for a (E, M, K) and b (E, M, N), with c in stat.
  void tn(const Tensor& c, const Tensor& a, const Tensor& b, const Tensor& offsets) const {
    ops.zero(c);
    if (E == 1) return ops.linear_backward_weight(flat(c), flat(a), flat(b));
    ops.grouped_linear_backward_weight(c, flat(a), flat(b), offsets.rows(0, E + 1));
  }

  static Tensor flat(const Tensor& x) { return x.view({x.size(0) * x.size(1), x.size(2)}); }
};

// A = X^T X for each of the matrices.
Tensor gram_of_columns(const Pass& pass, Scratch::Frame& frame, const Products& products, const Tensor& x_EOI,
                       const Tensor& offsets_rows) {
  const int64_t E = x_EOI.size(0), I = x_EOI.size(2);
  const DType real = pass.ops.compute_dtype(), stat = pass.ops.statistics_dtype();
  const Tensor sum = frame.allocate(stat, {E, I, I});
  products.tn(sum, x_EOI, x_EOI, offsets_rows);
  if (real == stat) return sum;
  const Tensor gram = frame.allocate(real, {E, I, I});
  pass.ops.cast(gram, sum);
  return gram;
}

void iterate(const Pass& pass, const Tensor& x_EOI, const Tensor& offsets_rows, const Tensor& offsets_columns) {
  const DType real = pass.ops.compute_dtype();
  const int64_t E = x_EOI.size(0), O = x_EOI.size(1), I = x_EOI.size(2), S = std::min(O, I);
  const Products products{pass.ops, E};
  Scratch::Frame frame(pass.scratch);
  const Tensor change = frame.allocate(real, {E, O, I}), square = frame.allocate(real, {E, S, S});
  Tensor gram;
  if (O <= I) {
    gram = frame.allocate(real, {E, S, S});
    products.nt(gram, x_EOI, x_EOI, offsets_rows);
  } else {
    gram = gram_of_columns(pass, frame, products, x_EOI, offsets_rows);
  }
  products.nn(square, gram, gram, O <= I ? offsets_rows : offsets_columns);
  pass.ops.weighted_sum(gram, gram, square, kB, kC);
  if (O <= I)
    products.nn(change, gram, x_EOI, offsets_rows);
  else
    products.nn(change, x_EOI, gram, offsets_rows);
  pass.ops.weighted_sum(x_EOI, x_EOI, change, kA, 1);
}

}  // namespace

double muon_scale(const std::string& name, int64_t rows, int64_t columns) {
  const auto m = static_cast<double>(rows), n = static_cast<double>(columns);
  return name == "original" ? std::sqrt(std::max(1.0, m / n)) : 0.2 * std::sqrt(std::max(m, n));
}

void newton_schulz(const Pass& pass, const Tensor& x_EOI, const Tensor& offsets_rows, const Tensor& offsets_columns) {
  pass.ops.matrix_normalize(x_EOI, x_EOI);
  for (int i = 0; i < kIterations; ++i) iterate(pass, x_EOI, offsets_rows, offsets_columns);
}

Muon::Muon(const OptimizerConfig& config, const ParamTable& params, const std::vector<UpdateRule>& rules)
    : momentum_(config.momentum), scale_(config.muon_scale) {
  std::vector<ParamTable::Segment> segments;
  for (const auto& bucket : params.buckets()) segments.insert(segments.end(), bucket.begin(), bucket.end());
  for (size_t r = 0; r < rules.size(); ++r) {
    if (!rules[r].muon) continue;
    const ParamRow& row = params.rows()[r];
    const auto segment = std::find_if(segments.begin(), segments.end(), [&](const ParamTable::Segment& each) {
      return each.offset <= row.offset && row.offset + row.count <= each.offset + each.count;
    });
    GPTMOE_CHECK(segment != segments.end(), row.name, " is in no bucket");
    if (!batches_.empty()) {
      Batch& last = batches_.back();
      if (last.rows == row.sizes[0] && last.columns == row.sizes[1] && last.rule == rules[r] &&
          last.offset + last.count() == row.offset && last.segment.offset == segment->offset &&
          last.count() + row.count <= kBatchElements) {
        ++last.matrices;
        continue;
      }
    }
    batches_.push_back({row.offset, 1, row.sizes[0], row.sizes[1], rules[r], *segment});
  }
  for (const Batch& batch : batches_) elements_.add(batch.offset, batch.count());
}

void Muon::allocate(Arena& arena, const Partition& held) {
  held_ = held;
  regions_.clear();
  offsets_.clear();
  for (const Batch& batch : batches_) {
    if (held.replicated() || batch.segment.stat)
      regions_.push_back({batch.offset, batch.count(), false, {batch}});
    else if (!regions_.empty() && regions_.back().gathers && regions_.back().offset == batch.segment.offset)
      regions_.back().batches.push_back(batch);
    else
      regions_.push_back({batch.segment.offset, batch.segment.count, true, {batch}});
    if (batch.matrices == 1) continue;
    for (int64_t step : {batch.rows, batch.columns}) {
      const auto known =
          std::find_if(offsets_.begin(), offsets_.end(), [&](const Offsets& each) { return each.step == step; });
      if (known == offsets_.end())
        offsets_.push_back({step, batch.matrices + 1, {}});
      else
        known->count = std::max(known->count, batch.matrices + 1);
    }
  }
  for (Offsets& each : offsets_) each.values = arena.allocate(DType::i64, {each.count});
}

void Muon::prepare(Memory& memory) const {
  for (const Offsets& each : offsets_) {
    std::vector<int64_t> values(static_cast<size_t>(each.count));
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int64_t>(i) * each.step;
    memory.upload(each.values, values.data());
  }
}

const Tensor& Muon::offsets(int64_t step) const {
  static const Tensor none;
  const auto found =
      std::find_if(offsets_.begin(), offsets_.end(), [&](const Offsets& each) { return each.step == step; });
  return found == offsets_.end() ? none : found->values;
}

void Muon::update(const Pass& pass, const ParamTable& params, const Moment& m, const Tensor& scale_1,
                  const Tensor& rates_3, const Tensor& step_1) const {
  for (const Region& region : regions_) update_region(pass, params, m, scale_1, rates_3, step_1, region);
}

void Muon::update_region(const Pass& pass, const ParamTable& params, const Moment& m, const Tensor& scale_1,
                         const Tensor& rates_3, const Tensor& step_1, const Region& region) const {
  Scratch::Frame frame(pass.scratch);
  const Tensor u = frame.allocate(pass.ops.compute_dtype(), {region.count});
  for (const Batch& batch : region.batches)
    m.for_each_part(batch.offset, batch.count(), [&](int64_t offset, int64_t count) {
      Scratch::Frame widened(pass.scratch);
      const Moment::Part part = m.part(pass, widened, offset, count);
      pass.ops.muon_momentum(u.rows(offset - region.offset, count), part.values(),
                             params.held_grads(held_.within(offset, count).front()), scale_1, momentum_);
      part.store(pass, step_1, params.place(offset));
    });
  if (region.gathers) pass.communicator.wait(pass.communicator.start_all_gather(u, Traffic::gradients));
  for (const Batch& batch : region.batches) {
    const std::vector<Partition::Piece> held = held_.within(batch.offset, batch.count());
    if (held.empty()) continue;
    // The matrices that the held elements belong to.
    const int64_t first = (held.front().offset - batch.offset) / batch.size();
    const int64_t end = (held.back().offset + held.back().count - batch.offset + batch.size() - 1) / batch.size();
    const Tensor x_EOI = u.rows(batch.offset - region.offset + first * batch.size(), (end - first) * batch.size())
                             .view({end - first, batch.rows, batch.columns});
    newton_schulz(pass, x_EOI, offsets(batch.rows), offsets(batch.columns));
    const double step = batch.rule.learning_rate_scale * muon_scale(scale_, batch.rows, batch.columns);
    const double decay = batch.rule.learning_rate_scale * batch.rule.weight_decay;
    for (const Partition::Piece& piece : held) {
      const Tensor& master = params.master();
      pass.ops.muon_update(params.values().rows(piece.offset, piece.count),
                           master.present() ? master.rows(piece.at, piece.count) : Tensor{},
                           u.rows(piece.offset - region.offset, piece.count), scale_1, rates_3, step, decay);
    }
  }
}

}  // namespace gptmoe
