#include "checkpoint/safetensors.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>

#include "base/check.h"
#include "base/checksum.h"
#include "support/temporary_folder.h"

namespace gptmoe {
namespace {

template <typename Action>
std::string user_error_of(Action action) {
  try {
    action();
  } catch (const UserError& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

std::string with_length(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  return std::string(std::bit_cast<std::array<char, 8>>(length).data(), 8) + header + data;
}

class Safetensors : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& bytes) {
    std::ofstream(path(), std::ios::binary) << bytes;
    return path();
  }
  // The reader's error message for a file with these bytes, without the path in front.
  std::string refusal(const std::string& bytes) {
    const std::string message = user_error_of([&] { SafetensorsFile file(write(bytes)); });
    EXPECT_EQ(message.find(path().string() + ":"), 0u) << message;
    return message.substr(std::min(message.size(), path().string().size() + 1));
  }
  std::filesystem::path path() const { return folder_ / "t.safetensors"; }
  uint64_t write_tensors(const std::vector<NamedTensor>& tensors, const SafetensorsMetadata& metadata = {}) {
    std::vector<TensorSource> sources;
    for (const NamedTensor& named : tensors) sources.push_back(source_of(named));
    return write_safetensors(path(), sources, metadata);
  }

  TemporaryFolder folder_;
  std::vector<float> f_ = {1.5f, -2.25f, 3e38f, 1e-45f, -0.0f, 7.0f};
  std::vector<double> d_ = {0.1, -1e300, 5e-324};
  std::vector<int64_t> l_ = {INT64_MIN, -1, INT64_MAX};
  std::vector<int32_t> i_ = {7};
  std::vector<uint16_t> h_ = {0x3f80, 0xc000, 0x7fc1};
};

TEST_F(Safetensors, RoundTripsEveryDTypeAndTheMetadata) {
  const std::vector<NamedTensor> tensors = {
      {"f", Tensor(f_.data(), DType::f32, {2, 3})},          {"scalar", Tensor(i_.data(), DType::i32, {})},
      {"h \"quoted\"", Tensor(h_.data(), DType::bf16, {3})}, {"d", Tensor(d_.data(), DType::f64, {3, 1, 1, 1, 1})},
      {"empty", Tensor(nullptr, DType::f32, {4, 0})},        {"l", Tensor(l_.data(), DType::i64, {3})}};
  const uint64_t checksum = write_tensors(tensors, {{"format", "pt"}, {"note", "Ünï"}});
  EXPECT_EQ(checksum, checksum_of(read_text_file(path())));

  const SafetensorsFile file(path());
  EXPECT_EQ(file.metadata(), (SafetensorsMetadata{{"format", "pt"}, {"note", "Ünï"}}));
  ASSERT_EQ(file.entries().size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    std::vector<char> got(static_cast<size_t>(tensor.bytes()) + 1, '\x55');
    switch (tensor.rank()) {
      case 0: file.read(name, Tensor(got.data(), tensor.dtype(), {})); break;
      case 1: file.read(name, Tensor(got.data(), tensor.dtype(), {tensor.size(0)})); break;
      case 2: file.read(name, Tensor(got.data(), tensor.dtype(), {tensor.size(0), tensor.size(1)})); break;
      default: file.read(name, Tensor(got.data(), tensor.dtype(), {3, 1, 1, 1, 1}));
    }
    const auto* bytes = static_cast<const char*>(tensor.data());
    EXPECT_EQ(std::string(got.data(), static_cast<size_t>(tensor.bytes())), std::string(bytes, bytes + tensor.bytes()))
        << name;
    EXPECT_EQ(got.back(), '\x55') << name;
  }
  EXPECT_EQ(file.find("f")->sizes, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(file.find("none"), nullptr);
}

TEST_F(Safetensors, TheHeaderIsPaddedSoThatDataIsAligned) {
  write_tensors({{"h", Tensor(h_.data(), DType::bf16, {3})}, {"d", Tensor(d_.data(), DType::f64, {3})}});
  uint64_t length;
  std::memcpy(&length, read_text_file(path()).data(), 8);
  EXPECT_EQ(length % 8, 0u);
  const SafetensorsFile file(path());
  EXPECT_EQ(file.find("d")->begin, 0);
  EXPECT_EQ(file.find("h")->begin, 24);
}

TEST_F(Safetensors, AFileWithoutTensorsIsReadBack) {
  write_tensors({});
  const SafetensorsFile file(path());
  EXPECT_TRUE(file.entries().empty());
  EXPECT_TRUE(file.metadata().empty());
}

// A file exactly as the Python package writes it.
TEST_F(Safetensors, ReadsAFileOfThePythonPackage) {
  const std::string header =
      R"({"__metadata__":{"note":"Ünï \"q\"","format":"pt"},"a":{"dtype":"I64","shape":[2,2],"data_offsets":[0,32]},)"
      R"("d":{"dtype":"F64","shape":[1],"data_offsets":[32,40]},"b":{"dtype":"F32","shape":[3],"data_offsets":[40,52]},)"
      R"("e":{"dtype":"F32","shape":[0,3],"data_offsets":[52,52]},"s":{"dtype":"I32","shape":[],"data_offsets":[52,56]},)"
      R"("h":{"dtype":"BF16","shape":[2],"data_offsets":[56,60]}}      )";
  const std::string data(
      "\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\xfc\xff\xff\xff\xff\xff\xff\xff"
      "\x9a\x99\x99\x99\x99\x99\xb9?\0\0\xc0?\0\0\x10\xc0\xe6\xb1\x61\x7f\x07\0\0\0\x80?\0\xc0",
      60);
  const SafetensorsFile file(write(with_length(header, data)));
  EXPECT_EQ(file.metadata().at("note"), "Ünï \"q\"");
  std::vector<int64_t> a(4);
  file.read("a", Tensor(a.data(), DType::i64, {2, 2}));
  EXPECT_EQ(a, (std::vector<int64_t>{1, 2, 3, -4}));
  double d;
  file.read("d", Tensor(&d, DType::f64, {1}));
  EXPECT_EQ(d, 0.1);
  std::vector<float> b(3);
  file.read("b", Tensor(b.data(), DType::f32, {3}));
  EXPECT_EQ(b, (std::vector<float>{1.5f, -2.25f, 3.0e38f}));
  int32_t s;
  file.read("s", Tensor(&s, DType::i32, {}));
  EXPECT_EQ(s, 7);
  std::vector<uint16_t> h(2);
  file.read("h", Tensor(h.data(), DType::bf16, {2}));
  EXPECT_EQ(h, (std::vector<uint16_t>{0x3f80, 0xc000}));
}

TEST_F(Safetensors, HalvesAndBf16ReadAsFloats) {
  const std::string header =
      R"({"h":{"dtype":"F16","shape":[8],"data_offsets":[0,16]},"b":{"dtype":"BF16","shape":[2],"data_offsets":[16,20]}})";
  const uint16_t data[] = {0x3c00, 0xc000, 0x0001, 0x8000, 0x7bff, 0x03ff, 0xfc00, 0x7e01, 0x3f80, 0xc000};
  const SafetensorsFile file(write(with_length(header, std::string(reinterpret_cast<const char*>(data), 20))));
  std::vector<float> h(8), b(2);
  file.read("h", Tensor(h.data(), DType::f32, {8}));
  EXPECT_EQ(std::vector<float>(h.begin(), h.end() - 1),
            (std::vector<float>{1, -2, 0x1p-24f, 0, 65504, 1023 * 0x1p-24f, -std::numeric_limits<float>::infinity()}));
  EXPECT_TRUE(std::signbit(h[3]) && std::isnan(h[7]));
  std::vector<double> wide(3);
  file.read_part("h", 2, Tensor(wide.data(), DType::f64, {3}));
  EXPECT_EQ(wide, (std::vector<double>{0x1p-24, 0, 65504}));
  file.read_part("b", 0, Tensor(b.data(), DType::f32, {2}));
  EXPECT_EQ(b, (std::vector<float>{1, -2}));
}

TEST_F(Safetensors, F32WidensExactlyEvenIfUnaligned) {
  std::string header = R"({"f":{"dtype":"F32","shape":[6],"data_offsets":[0,24]}})";
  header.resize(61, ' ');  // the data begins at byte 69
  const SafetensorsFile file(write(with_length(header, std::string(reinterpret_cast<const char*>(f_.data()), 24))));
  std::vector<double> wide(6);
  file.read("f", Tensor(wide.data(), DType::f64, {6}));
  for (size_t i = 0; i < wide.size(); ++i)
    EXPECT_EQ(std::bit_cast<uint64_t>(wide[i]), std::bit_cast<uint64_t>(static_cast<double>(f_[i])));
}

TEST_F(Safetensors, ReadErrorsNameTheFileTheTensorAndBothShapes) {
  write_tensors({{"f", Tensor(f_.data(), DType::f32, {2, 3})}, {"d", Tensor(d_.data(), DType::f64, {3})}});
  const SafetensorsFile file(path());
  std::vector<float> out(6, 42.0f);
  const std::string at = path().string() + ": tensor ";
  EXPECT_EQ(user_error_of([&] {
              file.read("g", Tensor(out.data(), DType::f32, {2, 3}));
            }),
            at + "\"g\": is missing; expected f32 (2, 3)");
  EXPECT_EQ(user_error_of([&] {
              file.read("f", Tensor(out.data(), DType::f32, {3, 2}));
            }),
            at + "\"f\": has the shape (2, 3) and not (3, 2)");
  EXPECT_EQ(user_error_of([&] { file.read("f", Tensor(out.data(), DType::f32, {6})); }),
            at + "\"f\": has the shape (2, 3) and not (6)");
  EXPECT_EQ(user_error_of([&] { file.read("d", Tensor(out.data(), DType::f32, {3})); }),
            at + "\"d\": holds f64, which does not convert exactly to f32");
  EXPECT_EQ(out, std::vector<float>(6, 42.0f));
}

TEST_F(Safetensors, RefusesADamagedHeader) {
  const std::string data(24, 'x');
  const auto of = [&](const std::string& header) { return refusal(with_length(header, data)); };
  EXPECT_EQ(refusal(""), " 0 bytes are too short for a safetensors file");
  EXPECT_EQ(refusal("1234567"), " 7 bytes are too short for a safetensors file");
  EXPECT_EQ(refusal(std::string("\x09\0\0\0\0\0\0\0{}", 10)),
            "0: a safetensors header of 9 bytes does not fit into the file of 10 bytes: it is cut short or not a "
            "safetensors file");
  EXPECT_NE(refusal(std::string(8, '\xff') + "{}").find("18446744073709551615 bytes does not fit"), std::string::npos);
  EXPECT_EQ(
      of(""),
      "8: syntax error while parsing value - unexpected end of input; expected '[', '{', or a literal; the safetensors "
      "header is damaged");
  EXPECT_EQ(of(R"({"f")"),
            "12: syntax error while parsing object separator - unexpected end of input; expected ':'; the safetensors "
            "header is "
            "damaged");
  EXPECT_EQ(of("[1]"), "8: the safetensors header is not a JSON object");
  EXPECT_EQ(of(" {}"), "8: the safetensors header is not a JSON object");
  EXPECT_EQ(of(R"({"f":1e999})"), "17: number overflow parsing '1e999'; the safetensors header is damaged");
  EXPECT_EQ(of("{}"), "10: 24 bytes belong to no tensor");
  EXPECT_EQ(of(R"({"__metadata__":[]})"), " tensor \"__metadata__\": is not an object");
  EXPECT_EQ(of(R"({"__metadata__":{"a":1}})"), " tensor \"__metadata__\": \"a\" is not a string");
  const std::string one = R"("f":{"dtype":"F32","shape":[6],"data_offsets":[0,24]})";
  EXPECT_EQ(of("{" + one + "," + one + "}"), " f: given twice; keep one; the safetensors header is damaged");
}

TEST_F(Safetensors, RefusesAnEntryThatDoesNotFitItsData) {
  const auto of = [&](const std::string& dtype, const std::string& shape, const std::string& offsets,
                      const std::string& more = "") {
    return refusal(with_length(
        R"({"f":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + more + "}}",
        std::string(24, 'x')));
  };
  const std::string fields = " tensor \"f\": the header must give its dtype, shape and data_offsets, and nothing else";
  EXPECT_EQ(of("F8_E4M3", "[24]", "[0,24]"),
            " tensor \"f\": dtype F8_E4M3 is not one of F64, F32, BF16, F16, I64, I32, U8");
  EXPECT_EQ(of("F16", "[6]", "[0,24]"), " tensor \"f\": 24 bytes do not hold F16 (6)");
  EXPECT_EQ(of("F32", "[6]", "[0,24]", R"(,"order":"C")"), fields);
  for (const char* shape : {"6", "[-6]", "[6.0]", "[\"6\"]", "[9223372036854775808]"})
    EXPECT_EQ(of("F32", shape, "[0,24]"), fields) << shape;
  for (const char* offsets : {"[24]", "[0,12,24]", "[-1,24]", "[0,24.0]", "{}"})
    EXPECT_EQ(of("F32", "[6]", offsets), fields) << offsets;
  EXPECT_EQ(of("F32", "[7]", "[0,28]"),
            " tensor \"f\": data_offsets [0, 28] are not a range within the 24 bytes of data: the file is damaged or "
            "cut short");
  EXPECT_EQ(of("F32", "[6]", "[24,0]"),
            " tensor \"f\": data_offsets [24, 0] are not a range within the 24 bytes of data: the file is damaged or "
            "cut short");
  EXPECT_EQ(of("F32", "[5]", "[4,24]"), " tensor \"f\": data begins at 4, but the tensor before it ends at 0");
  EXPECT_EQ(of("F32", "[5]", "[0,24]"), " tensor \"f\": 24 bytes do not hold F32 (5)");
  // 2^62 elements of 4 bytes are 2^64 bytes, which overflows and must not be taken for 0 or 24.
  EXPECT_EQ(of("F32", "[4611686018427387910]", "[0,24]"),
            " tensor \"f\": 24 bytes do not hold F32 (4611686018427387910)");
  EXPECT_EQ(of("F32", "[4294967296, 4294967296]", "[0,0]"),
            " tensor \"f\": 0 bytes do not hold F32 (4294967296, 4294967296)");
}

TEST_F(Safetensors, RefusesGapsAndOverlaps) {
  const auto of = [&](int begin, int end) {
    return refusal(with_length(R"({"f":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},)"
                               R"("g":{"dtype":"F32","shape":[)" +
                                   std::to_string((end - begin) / 4) + R"(],"data_offsets":[)" + std::to_string(begin) +
                                   "," + std::to_string(end) + "]}}",
                               std::string(24, 'x')));
  };
  EXPECT_EQ(of(8, 24), " tensor \"g\": data begins at 8, but the tensor before it ends at 12");
  EXPECT_EQ(of(16, 24), " tensor \"g\": data begins at 16, but the tensor before it ends at 12");
  EXPECT_NE(of(12, 20).find("4 bytes belong to no tensor"), std::string::npos);
}

TEST_F(Safetensors, EveryTruncationIsRefused) {
  write_tensors({{"f", Tensor(f_.data(), DType::f32, {6})}, {"d", Tensor(d_.data(), DType::f64, {3})}});
  const std::string whole = read_text_file(path());
  for (size_t size = whole.size(); size-- > 0;) {
    std::filesystem::resize_file(path(), size);
    EXPECT_THROW(SafetensorsFile file(path()), UserError) << size;
  }
}

// Whichever bit is flipped, the reader either throws a UserError or finds every tensor inside the file.
TEST_F(Safetensors, FlippedBitsNeverMakeTheReaderLeaveTheFile) {
  write_tensors({{"f", Tensor(f_.data(), DType::f32, {6})}, {"d", Tensor(d_.data(), DType::f64, {3})}}, {{"k", "v"}});
  const std::string whole = read_text_file(path());
  std::fstream bytes(path(), std::ios::binary | std::ios::in | std::ios::out);
  const auto put = [&](size_t position, int byte) {
    bytes.seekp(static_cast<std::streamoff>(position)).put(static_cast<char>(byte)).flush();
  };
  int refused = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      put(i, whole[i] ^ (1 << bit));
      try {
        const SafetensorsFile file(path());
        for (const auto& entry : file.entries()) EXPECT_LE(entry.end, static_cast<int64_t>(whole.size()));
      } catch (const UserError&) {
        ++refused;
      }
    }
    put(i, whole[i]);
  }
  EXPECT_GT(refused, 500);
}

TEST_F(Safetensors, DeepNestingIsRefused) {
  EXPECT_NE(refusal(with_length("{\"f\":" + std::string(1 << 20, '[') + std::string(1 << 20, ']') + "}", "")), "");
}

}  // namespace
}  // namespace gptmoe
