#include <cmath>

#include "kernels/cuda_limits.h"
#include "predict/kernel_list.h"

namespace gptmoe {
namespace {

// The time of a tile's work before and after the main loop of our grouped products, as the depth that the main loop
// would handle in that time. The pipeline fills, and the epilogue passes the tile through shared memory and stores it.
// SwiGLU's epilogues also store h, or read h and store its gradient.
constexpr double kEpilogue = 256, kSwigluEpilogue = 320, kSwigluGradientEpilogue = 384;
// Of that time, what Hopper's kernels do not need: they load the next tile in the meantime.
constexpr double kFill = 64;

void linear(KernelList& list) {
  const double N = list.size('N'), I = list.size('I'), O = list.size('O');
  const bool packed = KernelList::packed(I, O);
  switch (list.call().op()) {
    case OpId::linear_forward:
    case OpId::linear_bias_forward: return list.library_product("forward", {N, O, I, 1, packed}, list.bytes());
    case OpId::linear_backward_input: return list.library_product("input", {N, I, O, 1, packed}, list.bytes());
    default: return list.library_product("weight", {O, I, N, 1, packed}, list.bytes());
  }
}

void lm_head(KernelList& list) {
  const double N = list.size('N'), C = list.size('C'), V = list.size('V'), M = std::min(N, list.size('M'));
  const double chunks = std::ceil(N / M), rows = N / chunks;
  const auto launches = static_cast<int64_t>(chunks);
  const double element = list.bf16() ? 2 : 4, logits = element * N * V, x = element * N * C,
               weights = element * V * C * chunks;
  const bool packed = KernelList::packed(C, V), packs = std::fmod(V, 16 / element) == 0;
  list.library_product("logits", {rows, V, C, 1, packed}, x + weights + logits, launches);
  const bool backward = list.call().tensor("dx").present();
  const double passed = backward ? 2 * logits : logits;
  packs ? list.stream("cross_entropy", passed) : list.stream_elements("cross_entropy", passed);
  if (!backward) return;
  list.library_product("dx", {rows, C, V, 1, packed}, logits + weights + x, launches);
  list.library_product("dw", {V, C, rows, 1, packed}, logits + x + 2 * sizeof(float) * V * C * chunks, launches);
}

void router_linear(KernelList& list) {
  const double N = list.size('N'), C = list.size('C'), E = list.size('E');
  if (list.call().op() == OpId::router_linear_forward) return list.gather("forward");
  constexpr double kMostExperts = 64;  // the most that a kernel handles at a time
  const double passes = std::ceil(E / kMostExperts), dx = list.bytes_of("dx");
  const bool adds = list.call().value("write") == 1;
  for (int pass = 0; pass < static_cast<int>(passes); ++pass)
    list.gather("backward_input", (adds || pass > 0 ? 2 : 1) * dx + list.bytes_of("dlogits") / passes);
  list.gather("backward_weight", list.bytes_of("x") + list.bytes_of("dlogits"));
  const double columns = std::ceil(C / 128), experts = std::ceil(E / 16);
  list.column_sums(E * C, std::min(std::ceil(2.0 * list.gpu().multiprocessors / (columns * experts)), N / 64));
}

// An expert's last tile of rows is half empty on average.
double padded_rows(double rows, double experts) {
  constexpr double kTile = 128;
  return rows + experts * kTile / 2;
}

void grouped(KernelList& list) {
  const OpId op = list.call().op();
  const double E = list.size('E'), rows = list.live_share() * list.size('R'), padded = padded_rows(rows, E);
  const auto tiles_of = [](double width) { return hopper_tiles(static_cast<int64_t>(width)); };
  const auto of_rows = [&](const char* name, double width, double depth, double extra_depth, const HopperTiles& tiles) {
    const ProductSize size{padded, width, depth, 1, KernelList::packed(width, depth)};
    if (list.hopper() && size.packed)
      list.hopper_product(name, size, tiles, extra_depth - kFill, list.flops(), list.bytes());
    else
      list.expert_product(name, size, extra_depth, list.flops(), list.bytes());
  };
  switch (op) {
    case OpId::grouped_linear_forward:
      return of_rows("rows", list.size('O'), list.size('I'), kEpilogue, tiles_of(list.size('O')));
    case OpId::grouped_linear_backward_input:
      return of_rows("rows", list.size('I'), list.size('O'), kEpilogue, tiles_of(list.size('I')));
    case OpId::grouped_swiglu_forward:
      return of_rows("swiglu_rows", 2 * list.size('F'), list.size('I'), kSwigluEpilogue, kNarrowHopperTiles);
    case OpId::grouped_swiglu_backward:
      return of_rows("swiglu_gradient", list.size('F'), list.size('O'), kSwigluGradientEpilogue, kNarrowHopperTiles);
    default: break;
  }
  const double O = list.size('O'), I = list.size('I');
  const double tiles = E * std::ceil(O / 128) * std::ceil(I / 128);
  // With fewer tiles, the portable kernel, which also splits experts' rows, is faster.
  if (list.hopper() && KernelList::packed(O, I) && 2 * tiles >= list.gpu().multiprocessors)
    return list.hopper_product("weights", {O, I, rows / E, static_cast<int64_t>(E)}, tiles_of(I), kEpilogue - kFill,
                               list.flops(), list.bytes());
  const double splits = std::floor(std::min(2.0 * list.gpu().multiprocessors / tiles, std::ceil(rows / 256)));
  const bool whole = splits <= 1;
  const auto products = static_cast<int64_t>(whole ? E : E * splits);
  list.expert_product("weights", {O, I, rows / static_cast<double>(products), products, KernelList::packed(O, I)},
                      kEpilogue, list.flops(), list.bytes());
  if (!whole) list.stream("add_partials", sizeof(float) * E * O * I * (splits + 2));
}

// The share of the rate of mma.sync that attention reaches. For long sequences, it is FlashAttention-2's published rate
// on an H100 (non-causal), less 5 %. Tiles on the diagonal and the start of each block cost as much as 320 more
// positions.
double attention_share(double T, double D, bool backward) {
  const double wide_share = backward ? 0.64 : 0.66;
  return (D <= 64 ? 0.59 : wide_share) * T / (T + 320);
}

// The same for Hopper's kernels, as a share of the rate of large products. It is assumed, from the cycles that
// kernels/cuda/lab/README.md counts.
double hopper_attention_share(double T, double D, bool backward) {
  const double wide_share = backward ? 0.6 : 0.65;
  return (D <= 64 ? 0.5 : wide_share) * T / (T + 320);
}

// Hopper's kernels have the heads 64 and 128.
void hopper_attention(KernelList& list, bool backward) {
  const double T = list.size('T'), D = list.size('D'), share = hopper_attention_share(T, D, backward);
  const bool wide = D > 64;
  const auto add = [&](const char* name, double flops, const char* narrow_tiles, const char* wide_tiles) {
    list.hopper_attention(name, flops, list.bytes(), share, wide ? wide_tiles : narrow_tiles);
  };
  if (!backward)
    return add("forward", list.flops(), "128 queries x 128 keys, 4 stages, 145 KiB",
               "128 queries x 128 keys, 2 stages, 161 KiB");
  const double one = list.flops() / 4;
  list.stream("delta", list.bytes_of("dout") + list.bytes_of("out"));
  add("backward_keys", 4 * one, "128 keys x 128 queries, 4 stages, 169 KiB",
      "128 keys x 64 queries, 4 stages, 197 KiB");
  add("backward_queries", 3 * one, "128 queries x 128 keys, 4 stages, 161 KiB",
      "128 queries x 128 keys, 2 stages, 193 KiB");
}

void attention(KernelList& list) {
  const double T = list.size('T'), D = list.size('D');
  const bool backward = list.call().op() == OpId::attention_backward;
  if (list.hopper() && (D == 64 || D == 128)) return hopper_attention(list, backward);
  const bool tensor_cores =
      list.bf16() && list.call().size('D') % cuda::kVector == 0 && list.call().size('D') <= cuda::kMaxTensorHeadDim;
  // Heads are padded to 64 or 128.
  const double padding = tensor_cores ? (D <= 64 ? 64 : 128) / D : 1;
  const auto add = [&](const char* name, double flops, double bytes) {
    if (tensor_cores)
      list.attention(name, padding * flops, bytes, attention_share(T, D, backward));
    else
      list.vector(name, flops, bytes);
  };
  if (!backward) return add("forward", list.flops(), list.bytes());
  const double one = list.flops() / 4, bytes = list.bytes();
  list.stream("delta", list.bytes_of("dout") + list.bytes_of("out"));
  add("backward_keys", 4 * one, bytes);
  add("backward_queries", 3 * one, bytes);
}

}  // namespace

bool add_product_kernels(KernelList& list) {
  switch (list.call().op()) {
    case OpId::linear_forward:
    case OpId::linear_bias_forward:
    case OpId::linear_backward_input:
    case OpId::linear_backward_weight: return linear(list), true;
    case OpId::lm_head_loss: return lm_head(list), true;
    case OpId::router_linear_forward:
    case OpId::router_linear_backward: return router_linear(list), true;
    case OpId::grouped_linear_forward:
    case OpId::grouped_linear_backward_input:
    case OpId::grouped_linear_backward_weight:
    case OpId::grouped_swiglu_forward:
    case OpId::grouped_swiglu_backward: return grouped(list), true;
    case OpId::attention_forward:
    case OpId::attention_backward: return attention(list), true;
    default: return false;
  }
}

}  // namespace gptmoe
