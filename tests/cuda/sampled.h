#pragma once
// Tensors too large for a whole comparison: their elements are computed again from the index, and results are compared
// at a few indices.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "cuda/device_tensor.h"

namespace gptmoe {

// A tensor whose element i is a pure function of (seed, i): a multiple of scale / 128 in [-scale, scale), which bf16
// holds exactly if `scale` is a power of two.
class Sampled {
 public:
  Sampled(Ops& ops, DType dtype, std::initializer_list<int64_t> sizes, uint64_t seed, double scale = 1)
      : seed_(seed), scale_(scale), tensor_(ops, dtype, sizes) {
    constexpr int64_t kPart = int64_t{1} << 22;
    const Tensor& all = tensor_;
    const Tensor flat = all.view({all.count()});
    std::vector<float> part;
    for (int64_t first = 0; first < flat.count(); first += kPart) {
      part.resize(static_cast<size_t>(std::min(kPart, flat.count() - first)));
#pragma omp parallel for schedule(static)
      for (size_t i = 0; i < part.size(); ++i) part[i] = static_cast<float>((*this)(first + static_cast<int64_t>(i)));
      upload_floats(ops.memory(), flat.rows(first, std::ssize(part)), part.data());
    }
  }

  operator const Tensor&() const { return tensor_; }
  double operator()(int64_t i) const {  // the mixer of SplitMix64 (Steele et al. 2014)
    uint64_t bits = seed_ + static_cast<uint64_t>(i) * 0x9E3779B97F4A7C15;
    bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9;
    bits = (bits ^ bits >> 27) * 0x94D049BB133111EB;
    return scale_ * (static_cast<double>(bits >> 56) / 128 - 1);
  }

 private:
  uint64_t seed_;
  double scale_;
  DeviceTensor tensor_;
};

// The sum of terms 0 to count - 1.
template <typename Term>
double sum_of(int64_t count, const Term& term) {
  double sum = 0;
#pragma omp parallel for schedule(static) reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += term(i);
  return sum;
}

// One element of a tensor.
inline double element(Ops& ops, const Tensor& x, int64_t i) {
  return download_values(ops.memory(), x.view({x.count()}).rows(i, 1)).front();
}

using OfElement = std::function<double(int64_t)>;

// Compares the elements at `places` with expected(i). An error is relative to the element and the rms of all places.
// `known` is a part of the value that would hide errors in the rest. It is subtracted from both sides first.
inline void expect_at(
    Ops& ops, const std::string& name, const Tensor& got, double tolerance, const OfElement& expected,
    const std::vector<int64_t>& places, const OfElement& known = [](int64_t) { return 0.0; }) {
  std::vector<double> numbers;
  double squares = 0;
  for (const int64_t place : places) {
    numbers.push_back(expected(place) - known(place));
    squares += numbers.back() * numbers.back() / static_cast<double>(places.size());
  }
  EXPECT_GT(squares, 0) << name;
  for (size_t i = 0; i < places.size(); ++i) {
    const double value = element(ops, got, places[i]) - known(places[i]);
    EXPECT_LE(std::abs(value - numbers[i]) / (std::abs(numbers[i]) + std::sqrt(squares)), tolerance)
        << name << " at " << places[i] << ": " << value << ", expected " << numbers[i];
  }
}

// `samples` indices below `count`: the first, the last and random ones.
inline std::vector<int64_t> sampled_places(const std::string& name, int64_t count, int samples) {
  const Rng rng(17, hash_bytes(name));
  std::vector<int64_t> places = {0, count - 1};
  while (std::ssize(places) < samples)
    places.push_back(static_cast<int64_t>(rng.below(places.size(), static_cast<uint64_t>(count))));
  return places;
}

inline void expect_samples(Ops& ops, const std::string& name, const Tensor& got, double tolerance,
                           const OfElement& expected, int samples = 64) {
  expect_at(ops, name, got, tolerance, expected, sampled_places(name, got.count(), samples));
}

// A checksum of a tensor's bytes.
inline uint64_t checksum(Ops& ops, const Tensor& x) {
  uint64_t hash = hash_bytes("");
  for_each_host_part(ops.memory(), x, [&](const void* data, int64_t bytes) {
    hash = hash_bytes({static_cast<const char*>(data), static_cast<size_t>(bytes)}, hash);
  });
  return hash;
}

}  // namespace gptmoe
