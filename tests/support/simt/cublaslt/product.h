#pragma once
// One product D = alpha op(A) op(B) + beta C + bias in the stand-in for cuBLASLt.
#include "simt/cublaslt/objects.h"

namespace simt {

struct Product {
  Operation operation;
  Layout a, b, c, d;
};

struct Operands {
  float alpha, beta;
  const void *a, *b, *c, *bias;  // bias: one element of D's type for each row of D, or null
  void* d;
};

// Checks sizes and data types against each other.
void check_product(const Product& product);
// The bytes from the first element of a matrix to the end of its last one.
size_t bytes_of(const Layout& layout);
size_t element_bytes(cudaDataType_t type);
// Runs the product now, on the host, with sums in f32.
void multiply(const Product& product, const Operands& operands);

}  // namespace simt
