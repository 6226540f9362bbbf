// How the backend chooses cuBLASLt's algorithms, and the files that keep the choices.
#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <thread>

#include "base/file.h"
#include "base/lock.h"
#include "base/seal.h"
#include "kernels/cuda/matmul.h"
#include "simt/cublaslt/cublaslt_stand_in.h"
#include "simt/simulated_device.h"
#include "support/temporary_folder.h"

namespace gptmoe::cuda {
namespace {

namespace fs = std::filesystem;

class Choices : public ::testing::Test {
 protected:
  Choices() {
    cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking);
    library().states.assign(3, CUBLAS_STATUS_SUCCESS);
    library().milliseconds = {3, 1, 2};
  }
  ~Choices() override {
    cudaStreamDestroy(stream_);
    const simt::StandInCublasLt usual;
    library().states = usual.states;
    library().answers = usual.answers;
    library().milliseconds = usual.milliseconds;
    library().version = usual.version;
    simt::simulated_device = {};
  }
  static simt::StandInCublasLt& library() { return simt::cublaslt(); }

  Matmul matmul(const fs::path& file) const { return Matmul(stream_, {file, 0}); }
  // The algorithm that computes a product, which must be right.
  static int64_t algorithm_of(Matmul& matmul, Write write = Write::assign, bool bias = false) {
    alignas(256) std::array<float, 6> a;  // of one alignment, which is a part of the product's kind
    alignas(256) std::array<float, 10> b;
    alignas(256) std::array<float, 15> c;
    alignas(256) std::array<float, 5> added = {1, 2, 3, 4, 5};
    a.fill(1), b.fill(2), c.fill(8);
    library().last_algorithm = -1;
    matmul.run(Order::nt, Tensor(c.data(), DType::f32, {3, 5}), Tensor(a.data(), DType::f32, {3, 2}),
               Tensor(b.data(), DType::f32, {5, 2}), write, bias ? Tensor(added.data(), DType::f32, {5}) : Tensor());
    for (size_t i = 0; i < c.size(); ++i)
      EXPECT_EQ(c[i], 4 + (write == Write::add ? 8 : 0) + (bias ? added[i % 5] : 0)) << i;
    return library().last_algorithm;
  }
  int64_t algorithm_with(const fs::path& file) const {
    Matmul with = matmul(file);
    return algorithm_of(with);
  }
  // Whether a new process would time the product.
  bool times(const fs::path& file) const {
    const int64_t before = library().products;
    algorithm_with(file);
    return library().products > before + 1;
  }

  TemporaryFolder folder_{memory_folder()};
  const fs::path file_ = folder_ / "cache" / "gptmoe" / "cublaslt.json";
  cudaStream_t stream_ = nullptr;
};

TEST_F(Choices, AreTheFastestAlgorithmAndAreKept) {
  EXPECT_EQ(algorithm_with(file_), 1);
  library().milliseconds = {1, 2, 3};
  EXPECT_FALSE(times(file_));
  EXPECT_EQ(algorithm_with(file_), 1);
}

TEST_F(Choices, AreMadeForEachKindOfProduct) {
  Matmul with = matmul(file_);
  EXPECT_EQ(algorithm_of(with), 1);
  library().milliseconds = {3, 2, 1};
  EXPECT_EQ(algorithm_of(with, Write::add), 2);
  EXPECT_EQ(algorithm_of(with, Write::assign, true), 2);
  EXPECT_EQ(algorithm_of(with), 1);
  EXPECT_FALSE(times(file_));
}

TEST_F(Choices, AreForOneGpuAndOneVersionOfTheLibrary) {
  algorithm_with(file_);
  library().version += 1;
  EXPECT_TRUE(times(file_));
  simt::simulated_device.driver_version += 1;
  EXPECT_TRUE(times(file_));
  simt::simulated_device.multiprocessors += 1;
  EXPECT_TRUE(times(file_));
  EXPECT_FALSE(times(file_));
}

TEST_F(Choices, OfSmallProductsAreNotTimed) {
  Matmul with(stream_, {file_, 61});  // the product has 60 FLOPs
  EXPECT_EQ(algorithm_of(with), 0);
  EXPECT_FALSE(fs::exists(file_));
}

TEST_F(Choices, AreNotTimedWithoutAFileToKeepThem) {
  EXPECT_FALSE(times({}));
  EXPECT_EQ(algorithm_with({}), 0);
}

TEST_F(Choices, OfARunStayWhateverBecomesOfTheUsersFile) {
  const fs::path run = folder_ / "run" / "cublaslt.json";
  const auto in_run = [&](const fs::path& file) {
    Matmul with = matmul(file);
    with.keep_choices(run);
    return algorithm_of(with);
  };
  EXPECT_EQ(in_run(file_), 1);
  fs::remove(file_);
  library().milliseconds = {1, 2, 3};
  EXPECT_EQ(in_run(file_), 1);
  EXPECT_EQ(algorithm_with(file_), 0);
  EXPECT_EQ(in_run(file_), 1);
  // A run keeps untimed choices too.
  fs::remove_all(folder_ / "run");
  library().milliseconds = {3, 2, 1};
  EXPECT_EQ(in_run({}), 0);
  EXPECT_EQ(in_run(folder_ / "new.json"), 0);
}

TEST_F(Choices, InADamagedOrForeignFileAreMadeAgain) {
  algorithm_with(file_);
  const std::string good = read_text_file(file_);
  std::string flipped = good, shorter = good.substr(0, good.size() / 2);
  flipped[good.find("0000") + 1] = '1';
  const std::string no_seal = R"({"choices": {}})", not_ours = sealed(R"({"a":1})"),
                    no_text = sealed(R"({"choices":{"a":1}})");
  for (const std::string& content : {flipped, shorter, std::string(), no_seal, not_ours, no_text}) {
    write_text_file(file_, content);
    library().milliseconds = {2, 3, 1};
    Matmul with = matmul(file_);
    EXPECT_EQ(algorithm_of(with), 2) << content;
    const std::vector<std::string> notes = with.take_notes();
    ASSERT_EQ(notes.size(), 1u) << content;
    EXPECT_TRUE(notes[0].starts_with(file_.string())) << notes[0];
    EXPECT_TRUE(notes[0].ends_with("; the file is made again")) << notes[0];
    EXPECT_TRUE(with.take_notes().empty());
    EXPECT_FALSE(times(file_));
  }
}

TEST_F(Choices, ThatTheLibraryDoesNotAcceptAreMadeAgain) {
  algorithm_with(file_);
  const std::string content = read_text_file(file_);
  const size_t digits = content.find("\": \"") + 4;
  for (const std::string& choice : {std::string(128, '0'), std::string(128, 'x'), std::string("12")}) {
    std::string changed = content.substr(0, content.rfind(','));
    changed.replace(digits, 128, choice);
    write_text_file(file_, sealed(changed + "\n}"));
    EXPECT_TRUE(times(file_)) << choice;
    EXPECT_FALSE(times(file_)) << choice;
  }
}

TEST_F(Choices, InAFileThatCannotBeReadAreNotTrustedAndNotReplaced) {
  fs::create_directories(file_);
  Matmul with = matmul(file_);
  EXPECT_EQ(algorithm_of(with), 0);
  EXPECT_EQ(algorithm_of(with, Write::add), 0);
  const std::vector<std::string> notes = with.take_notes();
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_TRUE(notes[0].starts_with(file_.string())) << notes[0];
  EXPECT_TRUE(fs::is_directory(file_));
}

TEST_F(Choices, AreThoseOfAProcessThatMakesThemAtTheSameTime) {
  algorithm_with(file_);
  const std::string theirs = read_text_file(file_);
  fs::remove(file_);
  library().milliseconds = {1, 2, 3};
  std::optional<OutputLock> lock(std::in_place, file_, "is choosing");
  int64_t ours = -1;
  std::thread process([&] { ours = algorithm_with(file_); });
  write_text_file(file_, theirs);
  lock.reset();
  process.join();
  EXPECT_EQ(ours, 1);
}

TEST_F(Choices, AreOnlyAlgorithmsThatSupportTheProduct) {
  library().answers = {CUBLAS_STATUS_SUCCESS, CUBLAS_STATUS_NOT_SUPPORTED};
  EXPECT_EQ(algorithm_with(file_), 2);
}

TEST_F(Choices, FallBackToOurOwnKernelIfNoAlgorithmSupportsTheProduct) {
  library().answers.assign(3, CUBLAS_STATUS_NOT_SUPPORTED);
  for (const double least_flops : {0.0, 1e9}) {  // 0: timing finds it; 1e9: nothing is timed, and the product fails
    Matmul with(stream_, {file_, least_flops});
    for (const bool bias : {false, true})
      for (const Write write : {Write::assign, Write::add}) EXPECT_EQ(algorithm_of(with, write, bias), -1);
    const std::vector<std::string> notes = with.take_notes();
    ASSERT_EQ(notes.size(), 1u);
    EXPECT_NE(notes[0].find("3 x 5 x 2"), std::string::npos) << notes[0];
  }
}

}  // namespace
}  // namespace gptmoe::cuda
