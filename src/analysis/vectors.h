#pragma once
#include <vector>

namespace gptmoe {

// Rows of numbers: a value per layer and expert, one vector per expert, ...
using Table = std::vector<std::vector<double>>;

double norm_of(const std::vector<double>& x);
double distance_between(const std::vector<double>& x, const std::vector<double>& y);
// Cosine of the angle between two vectors; kUnknown if either is zero.
double cosine_of(const std::vector<double>& x, const std::vector<double>& y);

// Cosine of every row with every row.
Table cosines_between(const Table& rows);
// Mean of the known entries off the diagonal; kUnknown if there are none.
double mean_off_diagonal(const Table& square);

}  // namespace gptmoe
