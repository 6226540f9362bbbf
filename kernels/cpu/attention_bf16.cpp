#ifndef GPTMOE_CPU_F64
#include "kernels/cpu/attention_bf16.h"

#include <utility>

#include "base/bf16.h"
#include "kernels/cpu/gemm_bf16.h"
#include "kernels/cpu/gemm_bf16_pack.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_math.h"
#include "kernels/cpu/thread_buffer.h"
#include "kernels/cpu/vector.h"

namespace gptmoe::cpu_f32 {
namespace {

// The number of lines in a tile of the kernel. A tile of queries is also one block of depth in sums over queries. A
// query multiplies the values that only other queries of its tile see by zero. So a NaN in a value reaches every query
// of the tile.
constexpr int64_t kTile = 2 * kLines;
constexpr int64_t kKeyBlock = 4 * kTile;
static_assert(kTile == kBlockDepth);

// A packed operand: whole tiles of lines, and whole blocks of depth.
struct Packed {
  uint32_t* words = nullptr;
  int64_t blocks = 0;  // of depth; pack() sets it

  // The two strips of lines [line, line + kTile), from `block` on.
  Strips tile(int64_t line, int64_t block = 0) const {
    const int64_t strip = blocks * kBlockPairs;
    return {words + line / kLines * strip + block * kBlockPairs, 2, strip};
  }
  // Packs `lines` lines. The rest of the last tile becomes zero.
  void pack(const Lines& x, int64_t lines, int64_t depth, bool pairs_inside) {
    blocks = (depth + kBlockDepth - 1) / kBlockDepth;
    pack_bf16(words, x, lines, depth, pairs_inside);
    const int64_t strips = (lines + kLines - 1) / kLines;
    if (strips % 2) std::fill_n(words + strips * blocks * kBlockPairs, blocks * kBlockPairs, 0);
  }
};

// Hands out parts of a thread's buffer.
class Memory {
 public:
  explicit Memory(float* memory) : next_(memory) {}
  float* floats(int64_t count) { return std::exchange(next_, next_ + count); }
  Packed packed(int64_t lines, int64_t depth) { return {reinterpret_cast<uint32_t*>(floats(lines * depth / 2))}; }

 private:
  float* next_;
};

struct Shape : AttentionShape {
  explicit Shape(const AttentionShape& shape) : AttentionShape(shape) {}
  int64_t padded_T = round_up(T, kTile), padded_D = round_up(D, kTile);
  int64_t qkv_row = S * D, out_row = H * D, group = H / G;
};

void round_to_bf16(float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = bf16_value(bf16_bits(x[i]));
}

// With S and dP in p and ds: p = exp(scale * S - lse), ds = p * (dP - delta).
void softmax_and_gradient(float* p, float* ds, int64_t n, float scale, float lse, float delta) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    p[j] = exp_real(scale * p[j] - lse);
    ds[j] = p[j] * (ds[j] - delta);
  }
}

// The keys of the block at `block` that the queries [query, query + kTile) need, in whole tiles.
struct BlockKeys {
  int64_t first, count;  // count <= 0: none
  BlockKeys(const Starts& starts, int64_t query, int64_t block)
      : first(std::max(starts[query] / kTile * kTile, block)),
        count(std::min(block + kKeyBlock, query + kTile) - first) {}
  // The keys that a query sees, relative to `first`: [begin, end).
  int64_t begin(const Starts& starts, int64_t query) const {
    return std::clamp<int64_t>(starts[query] - first, 0, count);
  }
  int64_t end(int64_t query) const { return std::clamp<int64_t>(query + 1 - first, 0, count); }
};

// The products of one tile of queries with a block of keys, on one thread.
class Products {
 public:
  Products() : kernel_(bf16_kernels().front()) { kernel_.begin(); }
  ~Products() { kernel_.end(); }
  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;

  // Sets scores (kTile, count), whose row stride is kKeyBlock, to a (kTile, D) * keys^T.
  void with_keys(float* scores, const Packed& a, const Packed& keys, const BlockKeys& k) const {
    for (int64_t j = 0; j < k.count; j += kTile)
      kernel_.multiply(keys.blocks, a.tile(0), keys.tile(k.first + j), scores + j, kKeyBlock, false);
  }
  // Sets out (kTile, padded_D) to weights (kTile, count) * rows (count, D), or adds the product to out if `add`. `rows`
  // is packed with D lines.
  void over_keys(float* out, int64_t padded_D, const Packed& weights, const Packed& rows, const BlockKeys& k,
                 bool add) const {
    for (int64_t d = 0; d < padded_D; d += kTile)
      kernel_.multiply(k.count / kTile, weights.tile(0), rows.tile(d, k.first / kTile), out + d, padded_D, add);
  }
  // Adds a (D, kTile queries) * weights (kTile queries, count) to `out`, the transposed gradient of all keys. `out`
  // consists of consecutive tiles (padded_D, kTile), each for kTile keys.
  void over_queries(float* out, int64_t padded_D, const Packed& a, const Packed& weights, const BlockKeys& k) const {
    for (int64_t j = 0; j < k.count; j += kTile)
      for (int64_t d = 0; d < padded_D; d += kTile)
        kernel_.multiply(1, a.tile(d), weights.tile(j), out + (k.first + j) * padded_D + d * kTile, kTile, true);
  }

 private:
  const Bf16Kernel& kernel_;
};

// ---- Forward -------------------------------------------------------------------------------------

struct Forward {
  const Shape& s;
  Products products;
  Packed keys, values, queries, weights;
  float *scores, *out;
  float max[kTile], sum[kTile];

  static int64_t elements(const Shape& s) {
    return s.padded_T * s.padded_D + kTile * (s.padded_D + s.padded_D / 2 + kKeyBlock + kKeyBlock / 2);
  }
  Forward(const Shape& shape, Memory memory)
      : s(shape),
        keys(memory.packed(s.padded_T, s.padded_D)),
        values(memory.packed(s.padded_D, s.padded_T)),
        queries(memory.packed(kTile, s.padded_D)),
        weights(memory.packed(kTile, kKeyBlock)),
        scores(memory.floats(kTile * kKeyBlock)),
        out(memory.floats(kTile * s.padded_D)) {}

  void take_head(const float* key_rows, const float* value_rows) {
    keys.pack({key_rows, s.qkv_row, 1}, s.T, s.D, false);
    values.pack({value_rows, 1, s.qkv_row}, s.D, s.T, false);
  }

  // Continues the online softmax of one query with row i of the scores. Returns the factor for the query's earlier
  // sums.
  float soften(int64_t i, int64_t begin, int64_t end, int64_t count) {
    float* row = scores + i * kKeyBlock;
    const int64_t used = round_up(end, kLanes);
    std::fill(row, row + begin, kMinusInfinity);
    std::fill(row + end, row + used, kMinusInfinity);
    const float new_max = std::max(max[i], s.scale * max_of(row, used));
    const float correction = exp_real(max[i] - new_max);
    exp_in_place(row, used, s.scale, new_max);
    std::fill(row + used, row + count, 0.0f);
    round_to_bf16(row, used);  // before the sum, so that the rounded weights add up to 1
    sum[i] = sum[i] * correction + sum_of(row, used);
    max[i] = new_max;
    return correction;
  }

  // Handles the queries [query, query + kTile) of one head. q and result are their first rows.
  void tile(const Starts& starts, int64_t query, const float* q, float* result, float* lse) {
    const int64_t rows = std::min(kTile, s.T - query);
    queries.pack({q, s.qkv_row, 1}, rows, s.D, true);
    std::fill_n(max, kTile, kLowest);
    std::fill_n(sum, kTile, 0.0f);
    bool add = false;
    for (int64_t block = starts[query] / kKeyBlock * kKeyBlock; block <= query; block += kKeyBlock) {
      const BlockKeys k(starts, query, block);
      if (k.count <= 0) continue;
      products.with_keys(scores, queries, keys, k);
      for (int64_t i = 0; i < kTile; ++i) {
        const float correction = soften(i, k.begin(starts, query + i), k.end(query + i), k.count);
        for (int64_t d = 0; add && d < s.padded_D; ++d) out[i * s.padded_D + d] *= correction;
      }
      weights.pack({scores, kKeyBlock, 1}, kTile, k.count, true);
      products.over_keys(out, s.padded_D, weights, values, k, add);
      add = true;
    }
    for (int64_t i = 0; i < rows; ++i) {
      lse[i] = max[i] + std::log(sum[i]);
      const float inverse = 1 / sum[i];
      for (int64_t d = 0; d < s.D; ++d) result[i * s.out_row + d] = out[i * s.padded_D + d] * inverse;
    }
  }
};

// ---- Backward ------------------------------------------------------------------------------------
// The formulas are in attention.cpp.

struct HeadRows {
  const float *q, *out, *dout, *lse;
  float* dq;
};

struct Backward {
  const Shape& s;
  Products products;
  Packed keys, values, key_columns;                       // one key/value head
  Packed queries, query_columns, douts, dout_columns;     // one tile of queries
  Packed probs_by_key, dscores_by_query, dscores_by_key;  // a tile of queries and a block of keys
  float *dkeys, *dvalues, *dqueries, *probs, *dscores;

  static int64_t elements(const Shape& s) {
    const int64_t head = s.padded_T * s.padded_D, tile = kTile * s.padded_D, block = kTile * kKeyBlock;
    return 3 * head / 2 + 2 * head + 4 * tile / 2 + tile + 3 * block / 2 + 2 * block;
  }
  Backward(const Shape& shape, Memory memory)
      : s(shape),
        keys(memory.packed(s.padded_T, s.padded_D)),
        values(memory.packed(s.padded_T, s.padded_D)),
        key_columns(memory.packed(s.padded_D, s.padded_T)),
        queries(memory.packed(kTile, s.padded_D)),
        query_columns(memory.packed(s.padded_D, kTile)),
        douts(memory.packed(kTile, s.padded_D)),
        dout_columns(memory.packed(s.padded_D, kTile)),
        probs_by_key(memory.packed(kKeyBlock, kTile)),
        dscores_by_query(memory.packed(kTile, kKeyBlock)),
        dscores_by_key(memory.packed(kKeyBlock, kTile)),
        dkeys(memory.floats(s.padded_T * s.padded_D)),
        dvalues(memory.floats(s.padded_T * s.padded_D)),
        dqueries(memory.floats(kTile * s.padded_D)),
        probs(memory.floats(kTile * kKeyBlock)),
        dscores(memory.floats(kTile * kKeyBlock)) {}

  void take_head(const float* key_rows, const float* value_rows) {
    keys.pack({key_rows, s.qkv_row, 1}, s.T, s.D, false);
    values.pack({value_rows, s.qkv_row, 1}, s.T, s.D, false);
    key_columns.pack({key_rows, 1, s.qkv_row}, s.D, s.T, false);
    std::fill_n(dkeys, s.padded_T * s.padded_D, 0.0f);
    std::fill_n(dvalues, s.padded_T * s.padded_D, 0.0f);
  }

  // Handles the queries [query, query + kTile) of one head.
  void tile(const Starts& starts, int64_t query, const HeadRows& head) {
    const int64_t rows = std::min(kTile, s.T - query);
    const float *q = head.q + query * s.qkv_row, *out = head.out + query * s.out_row,
                *dout = head.dout + query * s.out_row;
    queries.pack({q, s.qkv_row, 1}, rows, s.D, true);
    query_columns.pack({q, 1, s.qkv_row}, s.D, rows, true);
    douts.pack({dout, s.out_row, 1}, rows, s.D, true);
    dout_columns.pack({dout, 1, s.out_row}, s.D, rows, true);
    float delta[kTile] = {}, lse[kTile] = {};
    for (int64_t i = 0; i < rows; ++i) {
      lse[i] = head.lse[query + i];
      delta[i] = dot(dout + i * s.out_row, out + i * s.out_row, s.D);
    }
    bool add = false;
    for (int64_t block = starts[query] / kKeyBlock * kKeyBlock; block <= query; block += kKeyBlock) {
      const BlockKeys k(starts, query, block);
      if (k.count <= 0) continue;
      products.with_keys(probs, queries, keys, k);
      products.with_keys(dscores, douts, values, k);
      for (int64_t i = 0; i < kTile; ++i)
        differentiate(i, lse[i], delta[i], k.begin(starts, query + i), k.end(query + i), k.count);
      dscores_by_query.pack({dscores, kKeyBlock, 1}, kTile, k.count, true);
      probs_by_key.pack({probs, 1, kKeyBlock}, k.count, kTile, false);
      dscores_by_key.pack({dscores, 1, kKeyBlock}, k.count, kTile, false);
      products.over_keys(dqueries, s.padded_D, dscores_by_query, key_columns, k, add);
      products.over_queries(dvalues, s.padded_D, dout_columns, probs_by_key, k);
      products.over_queries(dkeys, s.padded_D, query_columns, dscores_by_key, k);
      add = true;
    }
    float* dq = head.dq + query * s.qkv_row;
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t d = 0; d < s.D; ++d) dq[i * s.qkv_row + d] = dqueries[i * s.padded_D + d] * s.scale;
  }

  // Turns row i of the scores into P, and row i of dP into dS. Keys that the query does not see get zeros.
  void differentiate(int64_t i, float lse, float delta, int64_t begin, int64_t end, int64_t count) {
    float *p = probs + i * kKeyBlock, *ds = dscores + i * kKeyBlock;
    const int64_t used = round_up(end, kLanes);
    softmax_and_gradient(p, ds, used, s.scale, lse, delta);
    for (float* row : {p, ds}) {
      std::fill(row, row + begin, 0.0f);
      std::fill(row + end, row + count, 0.0f);
    }
  }

  // Writes the gradients of a key/value head.
  void give_head(float* dkey_rows, float* dvalue_rows) const {
    for (int64_t i = 0; i < s.padded_T * s.padded_D; ++i) dkeys[i] *= s.scale;
    give(dkey_rows, dkeys);
    give(dvalue_rows, dvalues);
  }
  // Turns the tiles of over_queries() into rows.
  void give(float* rows, const float* tiles) const {
    for (int64_t t = 0; t < s.T; t += kLanes) {
      const float* from = tiles + t / kTile * kTile * s.padded_D + t % kTile;
      float* to = rows + t * s.qkv_row;
      int64_t d = 0;
      if (t + kLanes <= s.T)
        for (; d + kLanes <= s.D; d += kLanes) transpose_square(to + d, s.qkv_row, from + d * kTile, kTile);
      for (; d < s.D; ++d)
        for (int64_t i = 0; i < std::min(kLanes, s.T - t); ++i) to[i * s.qkv_row + d] = from[d * kTile + i];
    }
  }
};

}  // namespace

void attention_forward_bf16(int threads, const AttentionShape& shape, float* out, float* lse, const float* qkv) {
  const Shape s(shape);
  parallel_ranges(threads, s.B * s.H, 1, [&](int64_t begin, int64_t end, int) {
    static thread_local ThreadBuffer buffer;
    Forward forward(s, Memory(buffer.get(Forward::elements(s))));
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t b = unit / s.H, h = unit % s.H;
      const float* tokens = qkv + b * s.T * s.qkv_row;
      const float* key_rows = tokens + (s.H + h / s.group) * s.D;
      if (unit == begin || h % s.group == 0) forward.take_head(key_rows, key_rows + s.G * s.D);
      for (int64_t t = 0; t < s.T; t += kTile)
        forward.tile(Starts(s, b), t, tokens + t * s.qkv_row + h * s.D, out + ((b * s.T + t) * s.H + h) * s.D,
                     lse + unit * s.T + t);
    }
  });
}

void attention_backward_bf16(int threads, const AttentionShape& shape, float* dqkv, const float* dout, const float* out,
                             const float* lse, const float* qkv) {
  const Shape s(shape);
  // A key/value head's gradient is the sum over its group of query heads, so a group is one unit of work.
  parallel_ranges(threads, s.B * s.G, 1, [&](int64_t begin, int64_t end, int) {
    static thread_local ThreadBuffer buffer;
    Backward backward(s, Memory(buffer.get(Backward::elements(s))));
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t b = unit / s.G, g = unit % s.G, first = b * s.T * s.qkv_row;
      const int64_t key_head = first + (s.H + g) * s.D, value_head = key_head + s.G * s.D;
      backward.take_head(qkv + key_head, qkv + value_head);
      for (int64_t h = g * s.group; h < (g + 1) * s.group; ++h) {
        const int64_t head = b * s.T * s.out_row + h * s.D;
        const HeadRows rows{qkv + first + h * s.D, out + head, dout + head, lse + (b * s.H + h) * s.T,
                            dqkv + first + h * s.D};
        for (int64_t t = 0; t < s.T; t += kTile) backward.tile(Starts(s, b), t, rows);
      }
      backward.give_head(dqkv + key_head, dqkv + value_head);
    }
  });
}

}  // namespace gptmoe::cpu_f32
#endif
