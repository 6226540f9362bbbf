#pragma once
// Muon (Jordan et al. 2024): the update of a matrix is its momentum with all singular values brought near 1.
//   m = momentum * m + g;  u = g + momentum * m  (Nesterov), with the clipped gradient g
//   weight -= rate * (scale * newton_schulz(u) + weight_decay * weight)
// newton_schulz() starts with X = u / (|u| + 1e-7). Then it repeats five times: X = a X + (b A + c A^2) X with A = X
// X^T and (a, b, c) = (3.4445, -4.7750, 2.0315). For a matrix with more rows than columns, it uses X (b A + c A^2) with
// A = X^T X, which gives the same result with a smaller A. X and A are in the backend's compute dtype.
//
// Each row of the ParamTable is a separate matrix, even if a layer reads several rows as one tensor (queries, keys and
// values; gates and ups). Neighbouring rows of one shape, such as all experts' gates and ups, are updated together.
//
// With a sharded optimizer (ZeRO stages 1 and 2), a rank holds a part of the momentum, which may end within a matrix.
// The ranks gather the u of a layer. Each rank then computes every matrix that contains elements of its part, and
// updates these elements.
#include <vector>

#include "engine/moment.h"
#include "engine/update_rules.h"
#include "memory/pass.h"

namespace gptmoe {

// The factor of the orthogonal matrix for optimizer.muon_scale `name`. "original" (Jordan et al.): sqrt(max(1, rows /
// columns)). "match_rms_adamw" (Moonlight, arXiv 2502.16982): 0.2 sqrt(max(rows, columns)), which gives the update the
// root mean square that AdamW's updates have in practice.
double muon_scale(const std::string& name, int64_t rows, int64_t columns);

// Applies newton_schulz() in place to each of the E matrices of x (real). offsets_rows (i64) is 0, O, 2 O, ..., and
// offsets_columns is 0, I, 2 I, ..., with at least E + 1 numbers each. With E = 1, both may be absent.
void newton_schulz(const Pass& pass, const Tensor& x_EOI, const Tensor& offsets_rows, const Tensor& offsets_columns);

class Muon {
 public:
  // `rules` has one rule for each row of the table.
  Muon(const OptimizerConfig& config, const ParamTable& params, const std::vector<UpdateRule>& rules);

  // The elements of the table that follow Muon; they form whole rows.
  const Partition& elements() const { return elements_; }

  // Allocates constants. `held`: the elements whose momentum this rank holds. allocate() may run again after commit().
  void allocate(Arena& arena, const Partition& held);
  // Fills the constants, once the arena is committed.
  void prepare(Memory& memory) const;
  // Updates this rank's elements of the matrices. m holds the elements of `held`; the table's master, if present, has
  // the layout of `held`. rates_3 are adamw_rates(), and step_1 is the number of the step. If scale_1 is NaN, nothing
  // changes.
  void update(const Pass& pass, const ParamTable& params, const Moment& m, const Tensor& scale_1, const Tensor& rates_3,
              const Tensor& step_1) const;

 private:
  // Neighbouring rows of one shape, rule and segment.
  struct Batch {
    int64_t offset, matrices, rows, columns;
    UpdateRule rule;
    ParamTable::Segment segment;
    int64_t size() const { return rows * columns; }
    int64_t count() const { return matrices * size(); }
  };
  // Batches whose u share a buffer, which holds elements [offset, offset + count) of the table.
  struct Region {
    int64_t offset, count;
    bool gathers;
    std::vector<Batch> batches;
  };
  // 0, step, 2 step, ...
  struct Offsets {
    int64_t step, count;
    Tensor values;
  };

  void update_region(const Pass& pass, const ParamTable& params, const Moment& m, const Tensor& scale_1,
                     const Tensor& rates_3, const Tensor& step_1, const Region& region) const;
  const Tensor& offsets(int64_t step) const;

  double momentum_;
  std::string scale_;
  std::vector<Batch> batches_;
  Partition elements_, held_;
  std::vector<Region> regions_;
  std::vector<Offsets> offsets_;
};

}  // namespace gptmoe
