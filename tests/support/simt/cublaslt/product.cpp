#include "simt/cublaslt/product.h"

#include <cuda_bf16.h>

#include <random>
#include <vector>

#include "simt/simulated_fault.h"

namespace simt {
namespace {

// The rows and columns of op(matrix).
struct Shape {
  uint64_t rows, columns;
};
Shape shape_of(const Layout& layout, cublasOperation_t operation) {
  if (operation == CUBLAS_OP_N) return {layout.rows, layout.columns};
  return {layout.columns, layout.rows};
}

float read(const void* matrix, cudaDataType_t type, size_t at) {
  if (type == CUDA_R_16BF) return __bfloat162float(static_cast<const __nv_bfloat16*>(matrix)[at]);
  return static_cast<const float*>(matrix)[at];
}
void write(void* matrix, cudaDataType_t type, size_t at, float value) {
  if (type == CUDA_R_16BF)
    static_cast<__nv_bfloat16*>(matrix)[at] = __float2bfloat16(value);
  else
    static_cast<float*>(matrix)[at] = value;
}

// The elements of op(matrix), one column after another.
std::vector<float> columns_of(const void* matrix, const Layout& layout, cublasOperation_t operation) {
  const auto [rows, columns] = shape_of(layout, operation);
  const auto stride = static_cast<size_t>(layout.stride);
  std::vector<float> elements;
  elements.reserve(rows * columns);
  for (size_t column = 0; column < columns; ++column)
    for (size_t row = 0; row < rows; ++row)
      elements.push_back(
          read(matrix, layout.type, operation == CUBLAS_OP_N ? column * stride + row : row * stride + column));
  return elements;
}

}  // namespace

size_t element_bytes(cudaDataType_t type) { return type == CUDA_R_16BF ? 2 : 4; }

size_t bytes_of(const Layout& layout) {
  return ((layout.columns - 1) * static_cast<size_t>(layout.stride) + layout.rows) * element_bytes(layout.type);
}

void check_product(const Product& product) {
  const auto& [operation, a, b, c, d] = product;
  require(operation.compute == CUBLAS_COMPUTE_32F && operation.scale == CUDA_R_32F,
          "CUBLAS_COMPUTE_32F takes alpha and beta in CUDA_R_32F");
  const auto [m, k] = shape_of(a, operation.transpose_a);
  const auto [inner, n] = shape_of(b, operation.transpose_b);
  require(k == inner, "op(A) has as many columns as op(B) has rows");
  require(d.rows == m && d.columns == n, "D has the rows of op(A) and the columns of op(B)");
  require(c == d, "C has the layout of D");
  require(a.type == b.type && (d.type == a.type || (a.type == CUDA_R_16BF && d.type == CUDA_R_32F)),
          "A and B have one data type, and D has it too, or is f32 if they are bf16", CUBLAS_STATUS_NOT_SUPPORTED);
}

void multiply(const Product& product, const Operands& operands) {
  const std::vector<float> a = columns_of(operands.a, product.a, product.operation.transpose_a);
  const std::vector<float> b = columns_of(operands.b, product.b, product.operation.transpose_b);
  const size_t rows = product.d.rows, columns = product.d.columns, depth = a.size() / rows;
  std::vector<float> sums(rows);
  for (size_t column = 0; column < columns; ++column) {
    sums.assign(rows, 0);
    for (size_t k = 0; k < depth; ++k)
      for (size_t row = 0; row < rows; ++row) sums[row] += a[k * rows + row] * b[column * depth + k];
    for (size_t row = 0; row < rows; ++row) {
      const size_t at = column * static_cast<size_t>(product.d.stride) + row;
      float value = operands.alpha * sums[row];
      if (operands.bias) value += read(operands.bias, product.d.type, row);
      if (operands.beta != 0) value += operands.beta * read(operands.c, product.c.type, at);
      write(operands.d, product.d.type, at, value);
    }
  }
  if (has_fault("wrong")) {
    std::random_device random;
    write(operands.d, product.d.type, random() % columns * static_cast<size_t>(product.d.stride) + random() % rows,
          100);
  }
}

}  // namespace simt
