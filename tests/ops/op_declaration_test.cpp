// Parses op declarations, and counts the places where an op appears.
#include "kernels/op_declaration.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <regex>
#include <set>

#include "base/check.h"
#include "base/file.h"
#include "op_cases/op_case.h"
#include "support/test_folders.h"

namespace gptmoe {
namespace {

using Dimension = OperandDeclaration::Dimension;

bool is(const Dimension& dimension, char letter, int64_t times, int64_t plus) {
  return dimension.letter == letter && dimension.times == times && dimension.plus == plus;
}

TEST(OpDeclaration, ReadsWordsNamesAndShapes) {
  const OpDeclaration op = parse_declaration("op",
                                             "AddStat dw_E2FI, OptionalInI64 offsets_E1, Out rstd_N2, InAny x, Scratch "
                                             "sum_1, const AdamwConstants& c, int64_t first");
  ASSERT_EQ(op.operands.size(), 5U);
  EXPECT_EQ(op.values, (std::vector<std::string>{"c", "first"}));

  const OperandDeclaration& dw = op.operands[0];
  EXPECT_EQ(dw.name, "dw");
  EXPECT_EQ(dw.access, Access::add);
  EXPECT_EQ(dw.type, ElementType::stat);
  EXPECT_FALSE(dw.optional);
  ASSERT_EQ(dw.shape.size(), 3U);
  EXPECT_TRUE(is(dw.shape[0], 'E', 1, 0) && is(dw.shape[1], 'F', 2, 0) && is(dw.shape[2], 'I', 1, 0));

  EXPECT_TRUE(op.operands[1].optional);
  EXPECT_EQ(op.operands[1].type, ElementType::i64);
  ASSERT_EQ(op.operands[1].shape.size(), 1U);
  EXPECT_TRUE(is(op.operands[1].shape[0], 'E', 1, 1));

  ASSERT_EQ(op.operands[2].shape.size(), 2U);
  EXPECT_TRUE(is(op.operands[2].shape[0], 'N', 1, 0) && is(op.operands[2].shape[1], 0, 2, 0));
  EXPECT_TRUE(op.operands[3].any_shape);
  EXPECT_EQ(op.operands[4].access, Access::scratch);
  ASSERT_EQ(op.operands[4].shape.size(), 1U);
  EXPECT_TRUE(is(op.operands[4].shape[0], 0, 1, 0));
}

TEST(OpDeclaration, RefusesMalformedShapes) {
  EXPECT_THROW(parse_declaration("op", "Out y_N2x"), BugError);
  EXPECT_THROW(parse_declaration("op", "Out"), BugError);
}

std::vector<std::string> op_names() {
  std::vector<std::string> names;
  for (int i = 0; i < static_cast<int>(OpId::count); ++i) names.push_back(op_declaration(static_cast<OpId>(i)).name);
  return names;
}

// For each word, the number of the folder's files that contain it.
std::map<std::string, int> files_with_words(const std::string& folder, const std::string& extensions) {
  static const std::regex word("[A-Za-z_][A-Za-z_0-9]*");
  std::map<std::string, int> files;
  const std::filesystem::path root = std::filesystem::path(source_folder()) / folder;
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    const std::string extension = entry.path().extension().string() + " ";
    if (!entry.is_regular_file() || extensions.find(extension) == std::string::npos) continue;
    const std::string text = read_text_file(entry.path());
    std::set<std::string> words;
    for (std::sregex_iterator it(text.begin(), text.end(), word), end; it != end; ++it) words.insert(it->str());
    for (const std::string& each : words) ++files[each];
  }
  return files;
}

// An op has a declaration, a CPU kernel, a CUDA kernel and a case, and a rule if the declaration cannot express
// everything.
TEST(OpDeclaration, AnOpAppearsInFivePlaces) {
  auto declarations = files_with_words("kernels", ".inc "), rest = files_with_words("kernels", ".h .cpp ");
  auto cpu = files_with_words("kernels/cpu", ".h .cpp "), cuda = files_with_words("kernels/cuda", ".h .cpp .cu .cuh ");
  auto cases = files_with_words("src/op_cases", ".cpp ");
  const std::set<std::string> common = {"zero", "copy", "cast"};  // words with other uses too
  for (const std::string& op : op_names()) {
    if (common.contains(op)) continue;
    EXPECT_EQ(declarations[op], 1) << op;
    EXPECT_LE(rest[op], 1) << op;  // in op_rules.cpp
    EXPECT_LE(cpu[op], 2) << op;   // its own kernel, and one other op may call it
    EXPECT_LE(cuda[op], 2) << op;
    EXPECT_GE(cases[op], 1) << op;
    EXPECT_LE(cases[op], 2) << op;  // its own case, and another op's case may compare with it
  }
}

}  // namespace
}  // namespace gptmoe
