#include "cuda/worst_errors.h"

#include <cstdio>
#include <map>
#include <tuple>

namespace gptmoe {
namespace {

struct Worst {
  double error = -1;
  std::string case_name;
};

using Row = std::tuple<std::string, DType, double>;  // op, type, tolerance
std::map<Row, Worst>& worst_by_row() {
  static std::map<Row, Worst> rows;
  return rows;
}

}  // namespace

void record_error(const std::string& case_name, DType compute, double tolerance, double error) {
  const std::string op = case_name.substr(0, case_name.find_first_of("0123456789") - 1);
  Worst& worst = worst_by_row()[{op, compute, tolerance}];
  if (error > worst.error) worst = {error, case_name};
}

void print_worst_errors() {
  if (worst_by_row().empty()) return;
  std::printf("| op | type | worst relative error | tolerance | case |\n|---|---|---:|---:|---|\n");
  for (const auto& [row, worst] : worst_by_row()) {
    const auto& [op, compute, tolerance] = row;
    std::printf("| %s | %s | %.1e | %.0e | %s |\n", op.c_str(), dtype_name(compute), worst.error, tolerance,
                worst.case_name.c_str());
  }
}

}  // namespace gptmoe
