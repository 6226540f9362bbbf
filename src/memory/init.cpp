#include "memory/init.h"

#include <algorithm>
#include <array>
#include <exception>

#include "base/bf16.h"
#include "base/rng.h"

namespace gptmoe {
namespace {

constexpr int64_t kPartCount = 1 << 20, kChunkCount = 1 << 12;

// Consecutive elements of a row, in full precision and, if asked for, rounded to bf16.
struct Values {
  int64_t first = 0, count = 0;
  std::vector<float> full;
  std::vector<uint16_t> rounded;

  Values(int64_t most, bool in_bf16)
      : full(static_cast<size_t>(most)), rounded(in_bf16 ? static_cast<size_t>(most) : 0) {}

  // Sets elements [begin, end) of these values.
  void fill(int64_t begin, int64_t end, const Init& init, const Rng& rng) {
    float* const to = full.data();
    if (init.kind == Init::Kind::normal)
      for (int64_t i = begin; i < end; ++i)
        to[i] = static_cast<float>(init.std * rng.normal(static_cast<uint64_t>(first + i)));
    else
      std::fill(to + begin, to + end, init.kind == Init::Kind::ones ? 1.0f : 0.0f);
    if (!rounded.empty()) std::transform(to + begin, to + end, rounded.data() + begin, bf16_bits);
  }
  void upload(Memory& memory, const std::vector<RowPart>& parts) const {
    for (const RowPart& part : parts) {
      const int64_t begin = std::max(first, part.first);
      const int64_t end = std::min(first + count, part.first + part.elements.count());
      if (begin >= end) continue;
      const Tensor to = part.elements.rows(begin - part.first, end - begin);
      if (to.dtype() == DType::bf16)
        memory.upload(to, rounded.data() + (begin - first));
      else
        upload_floats(memory, to, full.data() + (begin - first));
    }
  }
};

}  // namespace

// While the calling thread uploads one part of the row, the other threads compute the next one.
void initialize_row(Memory& memory, const std::vector<RowPart>& parts, int64_t count, const Init& init, uint64_t seed,
                    const std::string& name) {
  const Rng rng(seed, hash_bytes(name));
  const bool in_bf16 =
      std::any_of(parts.begin(), parts.end(), [](const RowPart& part) { return part.elements.dtype() == DType::bf16; });
  const int64_t most = std::min(kPartCount, count);
  std::array<Values, 2> buffers = {Values(most, in_bf16), Values(most, in_bf16)};
  std::exception_ptr error;  // must not leave the parallel region
  for (int64_t first = 0, turn = 0; first < count + kPartCount && !error; first += kPartCount, ++turn) {
    Values& next = buffers[static_cast<size_t>(turn % 2)];
    const Values& ready = buffers[static_cast<size_t>((turn + 1) % 2)];
    next.first = first;
    next.count = std::clamp<int64_t>(count - first, 0, kPartCount);
#pragma omp parallel if (next.count > kChunkCount)
    {
#pragma omp master
      try {
        ready.upload(memory, parts);
      } catch (...) {
        error = std::current_exception();
      }
#pragma omp for schedule(dynamic)
      for (int64_t begin = 0; begin < next.count; begin += kChunkCount)
        next.fill(begin, std::min(begin + kChunkCount, next.count), init, rng);
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace gptmoe
