#include "kernels/cpu/attention_bf16.h"
#include "kernels/cpu/attention_shape.h"
#include "kernels/cpu/attention_tiles.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_math.h"
#include "kernels/cpu/thread_buffer.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {
namespace {

struct Shape : AttentionShape {
  explicit Shape(const AttentionShape& shape) : AttentionShape(shape) {}
  int64_t padded_T = round_up(T, kKeyBlock), padded_D = round_up(D, kLanes);  // whole blocks, whole vectors
};

// The keys of one block that kTileRows queries need. Keys before all of the queries' starts are left out, in whole
// panels.
struct TileKeys {
  int64_t first, count;  // count <= 0: none
  int64_t limit;         // the first query sees no key from first + limit on; each following query sees one more
  bool add;              // an earlier block had keys for these queries

  // The keys of the block that starts at `block`, for the kTileRows queries from `query` on.
  TileKeys(const Starts& starts, int64_t query, int64_t block) {
    const int64_t start = starts[query] / kPanel * kPanel;
    first = std::max(start, block);
    limit = query - first + 1;
    count = std::min(block + kKeyBlock - first, limit + kTileRows - 1);
    add = start < block;
  }
};

// ---- Forward -------------------------------------------------------------------------------------

struct ForwardBuffers {
  Real *key_panels, *values;           // one key/value head
  Real *query_columns, *out, *scores;  // one block of queries
  Real max[kQueryBlock], sum[kQueryBlock];
};

// Sets `scores` to the dot products of the kTileRows queries from `query` on with the `columns` keys from keys.first
// on. `columns` is a multiple of kLanes, and the row stride is kKeyBlock. The scores of keys that a query does not see
// become minus infinity.
void masked_scores(Real* scores, int64_t columns, const TileKeys& keys, const Starts& starts, int64_t query,
                   const Real* query_columns, const Real* key_panels, int64_t D) {
  multiply_columns<kTileRows>(columns, D, query_columns, 1, kQueryBlock, key_panels + keys.first * D, kPanel,
                              D * kPanel, scores, kKeyBlock, false);
  for (int64_t i = 0; i < kTileRows; ++i) {
    Real* row = scores + i * kKeyBlock;
    for (int64_t j = std::min(starts[query + i] - keys.first, columns); j-- > 0;) row[j] = kMinusInfinity;
    for (int64_t j = keys.limit + i; j < columns; ++j) row[j] = kMinusInfinity;
  }
}

// The online softmax of kTileRows rows over a block of keys.
void forward_tile(const Shape& s, ForwardBuffers& w, const Starts& starts, int64_t first_query, int64_t row,
                  int64_t block) {
  const TileKeys keys(starts, first_query + row, block);
  if (keys.count <= 0) return;
  const int64_t columns = round_up(keys.count, kLanes);
  Real* out = w.out + row * s.padded_D;
  masked_scores(w.scores, columns, keys, starts, first_query + row, w.query_columns + row, w.key_panels, s.D);
  for (int64_t i = 0; i < kTileRows; ++i) {
    Real* scores = w.scores + i * kKeyBlock;
    Real &max = w.max[row + i], &sum = w.sum[row + i];
    const Real new_max = std::max(max, s.scale * max_of(scores, columns));
    const Real correction = exp_real(max - new_max);
    exp_in_place(scores, columns, s.scale, new_max);
    sum = sum * correction + sum_of(scores, columns);
    max = new_max;
    if (keys.add)
      for (int64_t d = 0; d < s.padded_D; ++d) out[i * s.padded_D + d] *= correction;
  }
  multiply_columns<kTileRows>(s.padded_D, keys.count, w.scores, kKeyBlock, 1, w.values + keys.first * s.padded_D,
                              s.padded_D, kPanel, out, s.padded_D, keys.add);
}

// Handles one block of a head's queries; each query sees the keys from its start up to its own position. q and out are
// the block's first rows in their tensors.
void forward_block(const Shape& s, ForwardBuffers& w, const Starts& starts, int64_t first_query, const Real* q,
                   Real* out, Real* lse) {
  const int64_t rows = std::min(kQueryBlock, s.T - first_query), padded_rows = round_up(rows, kTileRows);
  transpose_to_panels(w.query_columns, kQueryBlock, padded_rows, q, s.S * s.D, rows, s.D);
  std::fill_n(w.max, padded_rows, kLowest);
  std::fill_n(w.sum, padded_rows, Real{0});
  for (int64_t block = starts[first_query] / kKeyBlock * kKeyBlock; block <= first_query; block += kKeyBlock)
    for (int64_t row = 0; row < padded_rows; row += kTileRows) forward_tile(s, w, starts, first_query, row, block);
  for (int64_t i = 0; i < rows; ++i) {
    lse[i] = w.max[i] + std::log(w.sum[i]);
    const Real inverse = Real{1} / w.sum[i];
    for (int64_t d = 0; d < s.D; ++d) out[i * s.H * s.D + d] = w.out[i * s.padded_D + d] * inverse;
  }
}

ForwardBuffers forward_buffers(const Shape& s) {
  static thread_local ThreadBuffer buffer;
  const int64_t head = s.padded_T * s.padded_D, block = kQueryBlock * s.padded_D;
  Real* memory = buffer.get(2 * head + 2 * block + kTileRows * kKeyBlock);
  ForwardBuffers w;
  w.key_panels = memory, w.values = w.key_panels + head, w.query_columns = w.values + head,
  w.out = w.query_columns + block, w.scores = w.out + block;
  return w;
}

// ---- Backward ------------------------------------------------------------------------------------
// With P = exp(scale * S - lse) and delta_n = <dout_n, out_n> (Dao 2023):
//   dV = P^T dO,  dS = P * (dO V^T - delta),  dQ = scale * dS K,  dK = scale * dS^T Q.

struct BackwardBuffers {
  Real *keys, *key_panels, *value_panels, *dkeys, *dvalues;         // one key/value head
  Real *queries, *query_columns, *douts, *dout_columns, *dqueries;  // one block of queries
  Real *probs, *dscores;                                            // (kQueryBlock, kKeyBlock)
  Real delta[kQueryBlock], lse[kQueryBlock];
};

// Computes P and dS for kTileRows queries and a block of keys, and adds the block's contribution to the queries' dQ.
// Keys of the block that are left out get P = dS = 0.
void backward_queries(const Shape& s, BackwardBuffers& w, const Starts& starts, int64_t first_query, int64_t row,
                      int64_t block) {
  const TileKeys keys(starts, first_query + row, block);
  if (keys.count <= 0) return;
  const int64_t columns = round_up(keys.count, kLanes), left_out = keys.first - block;
  Real *probs = w.probs + row * kKeyBlock, *dscores = w.dscores + row * kKeyBlock;
  for (int64_t i = 0; left_out > 0 && i < kTileRows; ++i) {
    std::fill_n(probs + i * kKeyBlock, left_out, Real{0});
    std::fill_n(dscores + i * kKeyBlock, left_out, Real{0});
  }
  probs += left_out, dscores += left_out;
  masked_scores(probs, columns, keys, starts, first_query + row, w.query_columns + row, w.key_panels, s.D);
  multiply_columns<kTileRows>(columns, s.D, w.dout_columns + row, 1, kQueryBlock, w.value_panels + keys.first * s.D,
                              kPanel, s.D * kPanel, dscores, kKeyBlock, false);
  for (int64_t i = 0; i < kTileRows; ++i) {
    Real *p = probs + i * kKeyBlock, *ds = dscores + i * kKeyBlock;
    const Real lse = w.lse[row + i], delta = w.delta[row + i];
#pragma omp simd
    for (int64_t j = 0; j < columns; ++j) {
      p[j] = exp_real(s.scale * p[j] - lse);
      ds[j] = p[j] * (ds[j] - delta);
    }
  }
  multiply_columns<kTileRows>(s.padded_D, keys.count, dscores, kKeyBlock, 1, w.keys + keys.first * s.padded_D,
                              s.padded_D, kPanel, w.dqueries + row * s.padded_D, s.padded_D, keys.add);
}

// For a block of keys, adds what a block of queries contributes to dK and dV.
void backward_keys(const Shape& s, BackwardBuffers& w, const Starts& starts, int64_t first_query, int64_t rows,
                   int64_t block) {
  const int64_t seen = first_query - block;  // the first query sees no key of the block after this one
  const int64_t keys = std::min(kKeyBlock, seen + rows);
  int64_t end = 0;
  for (int64_t j = 0; j < keys; j += kTileRows) {
    // Of the queries, [first, end) see some of the keys [j, j + kTileRows).
    const int64_t first = std::max<int64_t>(0, j - seen);
    while (end < rows && starts[first_query + end] < block + j + kTileRows) ++end;
    if (end <= first) continue;
    const int64_t at = first * kKeyBlock + j, from = first * s.padded_D, to = (block + j) * s.padded_D;
    multiply_columns<kTileRows>(s.padded_D, end - first, w.probs + at, 1, kKeyBlock, w.douts + from, s.padded_D, kPanel,
                                w.dvalues + to, s.padded_D, true);
    multiply_columns<kTileRows>(s.padded_D, end - first, w.dscores + at, 1, kKeyBlock, w.queries + from, s.padded_D,
                                kPanel, w.dkeys + to, s.padded_D, true);
  }
}

struct HeadRows {
  const Real *q, *out, *dout, *lse;
  Real* dq;
};

// Handles one block of a query head's queries; each query sees the keys from its start up to its own position.
void backward_block(const Shape& s, BackwardBuffers& w, const Starts& starts, int64_t first_query,
                    const HeadRows& head) {
  const int64_t rows = std::min(kQueryBlock, s.T - first_query), padded_rows = round_up(rows, kTileRows);
  const int64_t qkv_row = s.S * s.D, out_row = s.H * s.D;
  const Real *q = head.q + first_query * qkv_row, *out = head.out + first_query * out_row,
             *dout = head.dout + first_query * out_row;
  copy_rows(w.queries, s.padded_D, padded_rows, q, qkv_row, rows, s.D);
  transpose_to_panels(w.query_columns, kQueryBlock, padded_rows, q, qkv_row, rows, s.D);
  copy_rows(w.douts, s.padded_D, padded_rows, dout, out_row, rows, s.D);
  transpose_to_panels(w.dout_columns, kQueryBlock, padded_rows, dout, out_row, rows, s.D);
  std::fill_n(w.lse, kQueryBlock, Real{0});
  std::fill_n(w.delta, kQueryBlock, Real{0});
  for (int64_t i = 0; i < rows; ++i) {
    w.lse[i] = head.lse[first_query + i];
    w.delta[i] = dot(dout + i * out_row, out + i * out_row, s.D);
  }
  for (int64_t block = starts[first_query] / kKeyBlock * kKeyBlock; block <= first_query; block += kKeyBlock) {
    for (int64_t row = 0; row < padded_rows; row += kTileRows) backward_queries(s, w, starts, first_query, row, block);
    backward_keys(s, w, starts, first_query, padded_rows, block);
  }
  Real* dq = head.dq + first_query * qkv_row;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t d = 0; d < s.D; ++d) dq[i * qkv_row + d] = w.dqueries[i * s.padded_D + d] * s.scale;
}

BackwardBuffers backward_buffers(const Shape& s) {
  static thread_local ThreadBuffer buffer;
  const int64_t head = s.padded_T * s.padded_D, block = kQueryBlock * s.padded_D, scores = kQueryBlock * kKeyBlock;
  Real* memory = buffer.get(5 * head + 5 * block + 2 * scores);
  BackwardBuffers w;
  w.keys = memory, w.key_panels = w.keys + head, w.value_panels = w.key_panels + head, w.dkeys = w.value_panels + head,
  w.dvalues = w.dkeys + head;
  w.queries = w.dvalues + head, w.query_columns = w.queries + block, w.douts = w.query_columns + block,
  w.dout_columns = w.douts + block, w.dqueries = w.dout_columns + block;
  w.probs = w.dqueries + block, w.dscores = w.probs + scores;
  return w;
}

}  // namespace

void CpuKernels::attention_forward(const Tensor& out_BTHD, const Tensor& lse_BHT, const Tensor& qkv_BTSD,
                                   const Tensor& starts_BT) {
  const Shape s(attention_shape(out_BTHD, qkv_BTSD, starts_BT));
  Real *out = out_BTHD.as<Real>(), *lse = lse_BHT.as<Real>();
  const Real* qkv = qkv_BTSD.as<Real>();
#ifndef GPTMOE_CPU_F64
  if (operands_ == Operands::bf16) return attention_forward_bf16(threads_, s, out, lse, qkv);
#endif
  const int64_t qkv_row = s.S * s.D, group = s.H / s.G, padded = round_up(s.T, kTileRows);
  parallel_ranges(threads_, s.B * s.H, 1, [&](int64_t begin, int64_t end, int) {
    ForwardBuffers w = forward_buffers(s);
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t b = unit / s.H, h = unit % s.H, g = h / group;
      const Real* tokens = qkv + b * s.T * qkv_row;
      if (unit == begin || h % group == 0) {
        transpose_to_panels(w.key_panels, kPanel, padded, tokens + (s.H + g) * s.D, qkv_row, s.T, s.D);
        copy_rows(w.values, s.padded_D, padded, tokens + (s.H + s.G + g) * s.D, qkv_row, s.T, s.D);
      }
      for (int64_t t = 0; t < s.T; t += kQueryBlock)
        forward_block(s, w, Starts(s, b), t, tokens + t * qkv_row + h * s.D, out + ((b * s.T + t) * s.H + h) * s.D,
                      lse + unit * s.T + t);
    }
  });
}

void CpuKernels::attention_backward(const Tensor& dqkv_BTSD, const Tensor& dout_BTHD, const Tensor& out_BTHD,
                                    const Tensor& lse_BHT, const Tensor& qkv_BTSD, const Tensor& starts_BT) {
  const Shape s(attention_shape(out_BTHD, qkv_BTSD, starts_BT));
  Real* dqkv = dqkv_BTSD.as<Real>();
  const Real *dout = dout_BTHD.as<Real>(), *out = out_BTHD.as<Real>(), *lse = lse_BHT.as<Real>();
  const Real* qkv = qkv_BTSD.as<Real>();
#ifndef GPTMOE_CPU_F64
  if (operands_ == Operands::bf16) return attention_backward_bf16(threads_, s, dqkv, dout, out, lse, qkv);
#endif
  const int64_t qkv_row = s.S * s.D, group = s.H / s.G, padded = round_up(s.T, kTileRows);
  // A key/value head's gradient is the sum over its group of query heads, so a group is one unit of work.
  parallel_ranges(threads_, s.B * s.G, 1, [&](int64_t begin, int64_t end, int) {
    BackwardBuffers w = backward_buffers(s);
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t b = unit / s.G, g = unit % s.G, first = b * s.T * qkv_row;
      const int64_t key_head = first + (s.H + g) * s.D, value_head = key_head + s.G * s.D;
      copy_rows(w.keys, s.padded_D, padded, qkv + key_head, qkv_row, s.T, s.D);
      transpose_to_panels(w.key_panels, kPanel, padded, qkv + key_head, qkv_row, s.T, s.D);
      transpose_to_panels(w.value_panels, kPanel, padded, qkv + value_head, qkv_row, s.T, s.D);
      std::fill_n(w.dkeys, padded * s.padded_D, Real{0});
      std::fill_n(w.dvalues, padded * s.padded_D, Real{0});
      for (int64_t h = g * group; h < (g + 1) * group; ++h) {
        const int64_t head = (b * s.T * s.H + h) * s.D;
        const HeadRows rows{qkv + first + h * s.D, out + head, dout + head, lse + (b * s.H + h) * s.T,
                            dqkv + first + h * s.D};
        for (int64_t t = 0; t < s.T; t += kQueryBlock) backward_block(s, w, Starts(s, b), t, rows);
      }
      for (int64_t t = 0; t < s.T; ++t) {
        for (int64_t d = 0; d < s.D; ++d) dqkv[key_head + t * qkv_row + d] = w.dkeys[t * s.padded_D + d] * s.scale;
        std::copy_n(w.dvalues + t * s.padded_D, s.D, dqkv + value_head + t * qkv_row);
      }
    }
  });
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
