// Initial values of a row, which threads compute while another thread copies.
#include "memory/init.h"

#include <gtest/gtest.h>
#include <omp.h>

#include "base/bf16.h"
#include "base/rng.h"

namespace gptmoe {
namespace {

constexpr int64_t kCount = (int64_t{2} << 20) + 4097;  // three parts, of which the last one is short

class InitialValues : public ::testing::Test {
 protected:
  ~InitialValues() override { omp_set_num_threads(threads_before_); }

 private:
  int threads_before_ = omp_get_max_threads();
};

TEST_F(InitialValues, ArePureFunctionsOfTheIndexWithAnyNumberOfThreads) {
  const Rng rng(3, hash_bytes("name"));
  std::vector<float> first;
  for (const int threads : {5, 2, 1}) {  // LLVM's OpenMP leaks a team that it enlarges
    omp_set_num_threads(threads);
    std::vector<uint16_t> values(kCount);
    std::vector<float> master(kCount - 100);
    initialize_row(
        host_memory(),
        {{Tensor(values.data(), DType::bf16, {kCount})}, {Tensor(master.data(), DType::f32, {kCount - 100}), 100}},
        kCount, Init::normal(0.5), 3, "name");
    for (const int64_t i : {int64_t{0}, int64_t{99}, int64_t{100}, int64_t{4095}, int64_t{4096}, int64_t{1} << 20,
                            (int64_t{2} << 20) - 1, int64_t{2} << 20, kCount - 1}) {
      const auto expected = static_cast<float>(0.5 * rng.normal(static_cast<uint64_t>(i)));
      EXPECT_EQ(values[static_cast<size_t>(i)], bf16_bits(expected)) << i;
      if (i >= 100) {
        EXPECT_EQ(master[static_cast<size_t>(i - 100)], expected) << i;
      }
    }
    if (first.empty()) first = master;
    EXPECT_EQ(master, first) << threads << " threads";
  }
}

TEST_F(InitialValues, ReportAnUploadThatFails) {
  class Broken final : public Memory {
   public:
    bool on_host() const override { return false; }
    const char* name() const override { return "broken memory"; }
    void* allocate(int64_t) override { return nullptr; }
    void release(void*, int64_t) override {}
    int64_t available() const override { return -1; }
    void upload(const Tensor&, const void*) override { throw DeviceError("no upload"); }
    void download(void*, const Tensor&) override {}
    std::unique_ptr<Snapshot> make_snapshot(int64_t) override { return nullptr; }
  } memory;
  std::vector<float> values(10000);
  EXPECT_THROW(
      initialize_row(memory, {{Tensor(values.data(), DType::f32, {10000})}}, 10000, Init::normal(1), 1, "name"),
      DeviceError);
}

}  // namespace
}  // namespace gptmoe
