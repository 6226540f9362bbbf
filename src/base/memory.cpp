#include "base/memory.h"

#include <sys/mman.h>

#include <cstring>
#include <fstream>
#include <string>

#include "base/bf16.h"
#include "base/cgroup.h"

namespace gptmoe {
namespace {

class HostSnapshot final : public Snapshot {
 public:
  explicit HostSnapshot(int64_t bytes) : bytes_(static_cast<size_t>(bytes)) {}
  void take(const Tensor& from) override {
    GPTMOE_CHECK(from.bytes() <= static_cast<int64_t>(bytes_.size()), from.describe());
    std::memcpy(bytes_.data(), from.data(), static_cast<size_t>(from.bytes()));
    dtype_ = from.dtype();
    count_ = from.count();
  }
  std::vector<double> values() override { return values_at(bytes_.data(), dtype_, count_); }

 private:
  std::vector<char> bytes_;
  DType dtype_ = DType::f32;
  int64_t count_ = 0;
};

class HostMemory final : public Memory {
 public:
  bool on_host() const override { return true; }
  const char* name() const override { return "memory"; }

  void* allocate(int64_t bytes) override {
    // Anonymous pages are zero; huge pages save TLB misses where the system offers them.
    void* memory =
        mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    madvise(memory, static_cast<size_t>(bytes), MADV_HUGEPAGE);
    return memory;
  }
  void release(void* memory, int64_t bytes) override { munmap(memory, static_cast<size_t>(bytes)); }

  // Memory that the kernel can free without swapping, plus what it can swap out; no more than the control groups allow.
  int64_t available() const override {
    std::ifstream in("/proc/meminfo");
    int64_t available = -1, swap = 0, kilobytes = 0;
    for (std::string name, line; in >> name >> kilobytes && std::getline(in, line);) {
      if (name == "MemAvailable:") available = kilobytes * 1024;
      if (name == "SwapFree:") swap = kilobytes * 1024;
    }
    return available < 0 ? -1 : std::min(available + swap, cgroup_limits().free_memory);
  }

  void upload(const Tensor& to, const void* from) override { copy(to.data(), from, to.bytes()); }
  void download(void* to, const Tensor& from) override { copy(to, from.data(), from.bytes()); }
  std::unique_ptr<Snapshot> make_snapshot(int64_t bytes) override { return std::make_unique<HostSnapshot>(bytes); }

 private:
  static void copy(void* to, const void* from, int64_t bytes) {
    if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
  }
};

constexpr int64_t kPartCount = 1 << 20;

template <typename Element, typename Convert>
void upload_as(Memory& memory, const Tensor& to, const float* from, Convert convert) {
  std::vector<Element> part;
  const Tensor flat = to.view({to.count()});
  for (int64_t first = 0; first < flat.count(); first += kPartCount) {
    const Tensor piece = flat.rows(first, std::min(kPartCount, flat.count() - first));
    part.resize(static_cast<size_t>(piece.count()));
    for (size_t i = 0; i < part.size(); ++i) part[i] = convert(from[first + static_cast<int64_t>(i)]);
    memory.upload(piece, part.data());
  }
}

template <typename Element, typename Convert>
std::vector<double> converted(const void* from, int64_t count, Convert convert) {
  std::vector<double> values(static_cast<size_t>(count));
  const auto* elements = static_cast<const Element*>(from);
  for (size_t i = 0; i < values.size(); ++i) values[i] = convert(elements[i]);
  return values;
}

}  // namespace

Memory& host_memory() {
  static HostMemory memory;
  return memory;
}

void upload_floats(Memory& memory, const Tensor& to, const float* from) {
  switch (to.dtype()) {
    case DType::f32: return memory.upload(to, from);
    case DType::f64: return upload_as<double>(memory, to, from, [](float x) { return static_cast<double>(x); });
    case DType::bf16: return upload_as<uint16_t>(memory, to, from, bf16_bits);
    default: GPTMOE_CHECK(false, to.describe());
  }
}

void upload_values(Memory& memory, const Tensor& to, const double* from) {
  if (to.dtype() == DType::f64) return memory.upload(to, from);
  const std::vector<float> rounded(from, from + to.count());
  upload_floats(memory, to, rounded.data());
}

std::vector<double> values_at(const void* from, DType dtype, int64_t count) {
  switch (dtype) {
    case DType::f32: return converted<float>(from, count, [](float x) { return static_cast<double>(x); });
    case DType::f64: return converted<double>(from, count, [](double x) { return x; });
    case DType::bf16:
      return converted<uint16_t>(from, count, [](uint16_t x) { return static_cast<double>(bf16_value(x)); });
    default: GPTMOE_CHECK(false, "values of ", dtype_name(dtype)); return {};
  }
}

std::vector<double> download_values(Memory& memory, const Tensor& from) {
  std::vector<char> bytes(static_cast<size_t>(from.bytes()));
  memory.download(bytes.data(), from);
  return values_at(bytes.data(), from.dtype(), from.count());
}

}  // namespace gptmoe
