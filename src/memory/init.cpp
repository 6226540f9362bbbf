#include "memory/init.h"

#include <algorithm>

#include "base/rng.h"

namespace gptmoe {
namespace {

constexpr int64_t kPartCount = 1 << 20;

}  // namespace

void initialize_row(Memory& memory, const std::vector<RowPart>& parts, int64_t count, const Init& init, uint64_t seed,
                    const std::string& name) {
  const Rng rng(seed, hash_bytes(name));
  std::vector<float> values(static_cast<size_t>(std::min(kPartCount, count)),
                            init.kind == Init::Kind::ones ? 1.0f : 0.0f);
  for (int64_t first = 0; first < count; first += kPartCount) {
    const int64_t part_count = std::min(kPartCount, count - first);
    if (init.kind == Init::Kind::normal) {
#pragma omp parallel for schedule(static)
      for (int64_t i = 0; i < part_count; ++i)
        values[static_cast<size_t>(i)] = static_cast<float>(init.std * rng.normal(static_cast<uint64_t>(first + i)));
    }
    for (const RowPart& part : parts) {
      const int64_t begin = std::max(first, part.first);
      const int64_t end = std::min(first + part_count, part.first + part.elements.count());
      if (begin < end)
        upload_floats(memory, part.elements.rows(begin - part.first, end - begin), values.data() + (begin - first));
    }
  }
}

}  // namespace gptmoe
