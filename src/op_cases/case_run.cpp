#include "op_cases/case_run.h"

#include <sanitizer/asan_interface.h>

#include <bit>
#include <cmath>
#include <limits>
#include <utility>

namespace gptmoe {
namespace {

constexpr int64_t kLine = 64;
// The bytes of guards: NaN as a float or double and -1 as an integer, so that reading a guard shows in the results.
constexpr std::byte kGuard{0xFF};

// The upper half of a float.
struct Bf16 {
  uint16_t bits;
  Bf16() = default;
  explicit Bf16(double value) {  // to nearest, ties to even
    const auto wide = std::bit_cast<uint32_t>(static_cast<float>(value));
    bits = static_cast<uint16_t>(std::isnan(value) ? wide >> 16 | 0x40 : (wide + 0x7FFF + (wide >> 16 & 1)) >> 16);
  }
  explicit operator double() const { return std::bit_cast<float>(uint32_t{bits} << 16); }
};

// Calls visit with a null pointer of the element type.
template <typename Visit>
void with_type(DType dtype, Visit visit) {
  switch (dtype) {
    case DType::f32: return visit(static_cast<float*>(nullptr));
    case DType::f64: return visit(static_cast<double*>(nullptr));
    case DType::i32: return visit(static_cast<int32_t*>(nullptr));
    case DType::i64: return visit(static_cast<int64_t*>(nullptr));
    case DType::u8: return visit(static_cast<uint8_t*>(nullptr));
    case DType::bf16: return visit(static_cast<Bf16*>(nullptr));
  }
}

std::vector<double> decode(DType dtype, const std::byte* bytes, int64_t count) {
  std::vector<double> out(count);
  with_type(dtype, [&](auto* type) {
    const auto* elements = reinterpret_cast<decltype(type)>(const_cast<std::byte*>(bytes));
    for (int64_t i = 0; i < count; ++i) out[i] = static_cast<double>(elements[i]);
  });
  return out;
}

// Computes value(i) for each element, in parallel if there are many.
template <typename Value>
void encode(DType dtype, std::byte* bytes, int64_t count, Value value) {
  with_type(dtype, [&](auto* type) {
    auto* elements = reinterpret_cast<decltype(type)>(bytes);
    using Element = std::remove_pointer_t<decltype(type)>;
#pragma omp parallel for if (count > (1 << 16))
    for (int64_t i = 0; i < count; ++i) elements[i] = static_cast<Element>(value(i));
  });
}

std::vector<double> live_values(const TensorSpec& spec, DType dtype, const std::vector<std::byte>& bytes) {
  std::vector<double> values = decode(dtype, bytes.data(), spec.live_count());
  values.resize(static_cast<size_t>(spec.count()));
  return values;
}

double starting_value(const TensorSpec& spec, DType dtype, DType values, double value) {
  if (!is_float(dtype)) return value;
  if (spec.kind == Kind::real && values == DType::bf16) return static_cast<double>(Bf16(value));
  return static_cast<float>(value);
}

double garbage_value(DType dtype, Garbage garbage) {
  if (dtype == DType::u8) return garbage == Garbage::nan ? 255 : 127;
  if (!is_float(dtype)) return garbage == Garbage::nan ? -2147483648.0 : 2139062143.0;
  return garbage == Garbage::nan ? std::numeric_limits<double>::quiet_NaN() : 1e10;
}

}  // namespace

DType dtype_of(Kind kind, const Ops& ops) {
  switch (kind) {
    case Kind::real: return ops.compute_dtype();
    case Kind::stat: return ops.statistics_dtype();
    case Kind::bf16: return DType::bf16;
    case Kind::i32: return DType::i32;
    case Kind::i64: return DType::i64;
    case Kind::u8: return DType::u8;
  }
  return DType::f32;
}

Tensor make_tensor(void* data, DType dtype, const std::vector<int64_t>& sizes) {
  switch (sizes.size()) {
    case 1: return {data, dtype, {sizes[0]}};
    case 2: return {data, dtype, {sizes[0], sizes[1]}};
    case 3: return {data, dtype, {sizes[0], sizes[1], sizes[2]}};
    case 4: return {data, dtype, {sizes[0], sizes[1], sizes[2], sizes[3]}};
  }
  GPTMOE_CHECK(false, "op cases have tensors of rank 1 to 4, not ", sizes.size());
}

// A tensor's memory on the backend: a guard, the elements, and another guard. Each guard has at least kLine bytes.
// Under AddressSanitizer, touching a guard stops the test immediately if the host can access the memory.
class CaseRun::Buffer {
 public:
  Buffer(const TensorSpec& of, DType dtype, Memory& memory, Start start)
      : spec(of),
        memory_(memory),
        first_(kLine + (start == Start::at_odd_element ? dtype_bytes(dtype) : 0)),
        bytes_(of.count() * dtype_bytes(dtype)) {
    begin_ = static_cast<std::byte*>(memory.allocate(all_bytes()));
    if (!begin_) throw Failure(text(memory.name(), " has no room for ", all_bytes(), " bytes of ", of.name));
    tensor = make_tensor(begin_ + first_, dtype, of.sizes);
    const std::vector<std::byte> guards(static_cast<size_t>(all_bytes() - bytes_), kGuard);
    memory.upload(bytes_at(0, first_), guards.data());
    memory.upload(bytes_at(first_ + bytes_, tail_bytes()), guards.data());
    poison();
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    unpoison();
    memory_.release(begin_, all_bytes());
  }

  int64_t bytes() const { return bytes_; }
  std::vector<std::byte> content() const { return content(first_, bytes_); }
  void set_content(const std::vector<std::byte>& content) { memory_.upload(tensor, content.data()); }

  bool guards_intact() {
    unpoison();
    bool intact = true;
    for (const auto& [at, count] : {std::pair{int64_t{0}, first_}, {first_ + bytes_, tail_bytes()}})
      for (const std::byte byte : content(at, count)) intact &= byte == kGuard;
    poison();
    return intact;
  }

  const TensorSpec& spec;
  Tensor tensor;
  std::vector<std::byte> initial;
  double garbage = 0;

 private:
  int64_t all_bytes() const { return (1 + (first_ + bytes_ + kLine - 1) / kLine) * kLine; }
  int64_t tail_bytes() const { return all_bytes() - first_ - bytes_; }
  Tensor bytes_at(int64_t at, int64_t count) const { return {begin_ + at, DType::u8, {count}}; }
  std::vector<std::byte> content(int64_t at, int64_t count) const {
    std::vector<std::byte> out(static_cast<size_t>(count));
    memory_.download(out.data(), bytes_at(at, count));
    return out;
  }
  void poison() {
    ASAN_POISON_MEMORY_REGION(begin_, first_);
    ASAN_POISON_MEMORY_REGION(begin_ + first_ + bytes_, tail_bytes());
  }
  void unpoison() { ASAN_UNPOISON_MEMORY_REGION(begin_, all_bytes()); }

  Memory& memory_;
  int64_t first_, bytes_;  // the elements' first byte and length
  std::byte* begin_;
};

CaseRun::CaseRun(const OpCase& op, Ops& ops, Garbage garbage, DType values, Start start) : op_(op), ops_(ops) {
  for (const TensorSpec& spec : op.tensors) {
    const DType dtype = dtype_of(spec.kind, ops);
    Buffer& buffer = *buffers_.emplace_back(std::make_unique<Buffer>(spec, dtype, ops.memory(), start));
    buffer.garbage = garbage_value(dtype, garbage);
    buffer.initial.resize(static_cast<size_t>(buffer.bytes()));
    const Rng rng(hash_bytes(op.name), hash_bytes(spec.name));
    encode(dtype, buffer.initial.data(), spec.count(), [&](int64_t i) {
      return spec.fill && i < spec.live_count() ? starting_value(spec, dtype, values, spec.fill(rng, i))
                                                : buffer.garbage;
    });
  }
  reset();
}

CaseRun::~CaseRun() = default;

CaseRun::Buffer& CaseRun::buffer(std::string_view name) const {
  for (const auto& buffer : buffers_)
    if (buffer->spec.name == name) return *buffer;
  GPTMOE_CHECK(false, op_.name, " has no tensor ", name);
}

const Tensor& CaseRun::operator[](std::string_view name) const { return buffer(name).tensor; }

void CaseRun::reset() {
  for (const auto& buffer : buffers_) buffer->set_content(buffer->initial);
}

void CaseRun::start_in_place(Role role) {
  for (const auto& target : buffers_)
    if (target->spec.role == role && !target->spec.starts_as.empty())
      target->set_content(buffer(target->spec.starts_as).content());
}

void CaseRun::forward() {
  start_in_place(Role::output);
  op_.forward(ops_, *this);
}

void CaseRun::backward() {
  if (!op_.backward) return;
  start_in_place(Role::gradient);
  op_.backward(ops_, *this);
}

std::vector<double> CaseRun::read(std::string_view name) const {
  const Buffer& from = buffer(name);
  return live_values(from.spec, from.tensor.dtype(), from.content());
}

std::vector<double> CaseRun::before(std::string_view name) const {
  const Buffer& from = buffer(name);
  return live_values(from.spec, from.tensor.dtype(), from.initial);
}

void CaseRun::write(std::string_view name, const std::vector<double>& values) {
  Buffer& to = buffer(name);
  GPTMOE_CHECK(std::ssize(values) == to.spec.count());
  std::vector<std::byte> content = to.initial;
  encode(to.tensor.dtype(), content.data(), to.spec.live_count(),
         [&](int64_t i) { return values[static_cast<size_t>(i)]; });
  to.set_content(content);
}

std::vector<std::string> CaseRun::broken_promises() {
  std::vector<std::string> broken;
  for (const auto& buffer : buffers_) {
    const TensorSpec& spec = buffer->spec;
    if (!buffer->guards_intact()) broken.push_back("memory around " + spec.name + " was written");
    if (spec.role == Role::input && buffer->content() != buffer->initial)
      broken.push_back("input " + spec.name + " was changed");
    if (!spec.written()) continue;
    const auto live_bytes = spec.live_count() * dtype_bytes(buffer->tensor.dtype());
    const std::vector<std::byte> content = buffer->content();
    if (!std::equal(content.begin() + live_bytes, content.end(), buffer->initial.begin() + live_bytes))
      broken.push_back(spec.name + " was written past its live elements");
    const std::vector<double> values = read(spec.name);
    for (int64_t i = 0; i < spec.live_count(); ++i) {
      const bool overwritten = spec.fill || !spec.starts_as.empty() || values[i] != buffer->garbage;
      if (overwritten && std::isfinite(values[i])) continue;
      broken.push_back(text(spec.name, "[", i, "] was not overwritten or is not finite: ", values[i]));
      break;
    }
  }
  return broken;
}

bool CaseRun::same_bits(const CaseRun& other, std::string_view name) const {
  const std::vector<std::byte> own = buffer(name).content(), others = other.buffer(name).content();
  const auto live = buffer(name).spec.live_count() * dtype_bytes(buffer(name).tensor.dtype());
  return own.size() == others.size() && std::equal(own.begin(), own.begin() + live, others.begin());
}

Difference worst_difference(std::string_view name, const std::vector<double>& got, const std::vector<double>& expected,
                            bool exact) {
  GPTMOE_CHECK(got.size() == expected.size());
  double squares = 0;
  for (double value : expected) squares += value * value;
  const double rms = std::sqrt(squares / static_cast<double>(expected.size()));
  Difference worst;
  for (size_t i = 0; i < got.size(); ++i) {
    if (got[i] == expected[i]) continue;
    double error = std::abs(got[i] - expected[i]) / (std::abs(expected[i]) + rms);
    if (exact || std::isnan(error)) error = std::numeric_limits<double>::infinity();
    if (error > worst.error) worst = {error, text(name, "[", i, "]: ", got[i], ", expected ", expected[i])};
  }
  return worst;
}

Difference worst_difference(const CaseRun& got, const CaseRun& expected) {
  Difference worst;
  for (const TensorSpec& spec : got.op().tensors) {
    if (!spec.written()) continue;
    const bool exact = spec.exact || !is_float(got[spec.name].dtype());
    const Difference here = worst_difference(spec.name, got.read(spec.name), expected.read(spec.name), exact);
    if (here.error > worst.error) worst = here;
  }
  return worst;
}

}  // namespace gptmoe
