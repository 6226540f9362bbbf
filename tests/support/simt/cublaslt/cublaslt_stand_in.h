#pragma once
// A stand-in for the library libcublasLt, which the CUDA backend loads instead of that library. It computes products on
// the host and checks every call against NVIDIA's rules for layouts, data types, alignments, workspace, graphs and the
// lifetime of handles and descriptors. It also checks two promises of the backend: sums are in f32, and one workspace
// serves one stream. A call that breaks a rule fails. cublasLtGetStatusString() then returns the rule, so that the
// backend's error contains it. Functions and attributes that the backend does not use are missing.
#include <cublasLt.h>

#include <cstdint>
#include <string>
#include <vector>

#include "simt/simulated_fault.h"

namespace simt {

struct StandInCublasLt {
  // The answer of cublasLtMatmulAlgoGetHeuristic: its status, and the state of each algorithm, the best first.
  cublasStatus_t heuristic = CUBLAS_STATUS_SUCCESS;
  std::vector<cublasStatus_t> states = {CUBLAS_STATUS_SUCCESS};
  // For each algorithm of the heuristic: the status that cublasLtMatmul returns, and the milliseconds that a product
  // takes. Algorithms beyond the ends of the lists succeed and take 1 ms.
  std::vector<cublasStatus_t> answers = std::vector(has_fault("refuses") ? 1 : 0, CUBLAS_STATUS_NOT_SUPPORTED);
  std::vector<double> milliseconds = {};
  size_t version = CUBLAS_VERSION;

  // Since the program started: the rules that calls have broken, and the numbers of heuristics and products.
  std::vector<std::string> broken = {};
  int64_t heuristics = 0, products = 0;
  // The algorithm of the last product, as its index in the heuristic's answer; -1: there was no product.
  int64_t last_algorithm = -1;
  // Handles, descriptors, layouts and preferences that are not destroyed yet.
  int64_t objects = 0;
};
StandInCublasLt& cublaslt();

}  // namespace simt
