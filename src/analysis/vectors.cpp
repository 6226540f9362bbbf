#include "analysis/vectors.h"

#include <cmath>

#include "base/check.h"
#include "base/statistics.h"

namespace gptmoe {
namespace {

double dot(const std::vector<double>& x, const std::vector<double>& y) {
  GPTMOE_CHECK(x.size() == y.size(), x.size(), " and ", y.size());
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
  return sum;
}

}  // namespace

double norm_of(const std::vector<double>& x) { return std::sqrt(dot(x, x)); }

double distance_between(const std::vector<double>& x, const std::vector<double>& y) {
  GPTMOE_CHECK(x.size() == y.size(), x.size(), " and ", y.size());
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += (x[i] - y[i]) * (x[i] - y[i]);
  return std::sqrt(sum);
}

double cosine_of(const std::vector<double>& x, const std::vector<double>& y) {
  const double norms = norm_of(x) * norm_of(y);
  return norms > 0 ? dot(x, y) / norms : kUnknown;
}

Table cosines_between(const Table& rows) {
  Table out(rows.size(), std::vector<double>(rows.size()));
  for (size_t i = 0; i < rows.size(); ++i)
    for (size_t j = 0; j < rows.size(); ++j) out[i][j] = cosine_of(rows[i], rows[j]);
  return out;
}

double mean_off_diagonal(const Table& square) {
  double sum = 0, count = 0;
  for (size_t i = 0; i < square.size(); ++i)
    for (size_t j = 0; j < square[i].size(); ++j)
      if (i != j && std::isfinite(square[i][j])) sum += square[i][j], count += 1;
  return count > 0 ? sum / count : kUnknown;
}

}  // namespace gptmoe
