#pragma once
// The objects behind cuBLASLt's opaque handles, and how the stand-in's functions report a broken rule.
#include <cublasLt.h>

#include <map>
#include <mutex>
#include <set>
#include <string>

#include "simt/cublaslt/cublaslt_stand_in.h"

namespace simt {

// Ends a call. `broken`: the caller broke a rule.
struct Refusal {
  cublasStatus_t status;
  std::string message;
  bool broken;
};

inline void require(bool kept, const std::string& rule, cublasStatus_t status = CUBLAS_STATUS_INVALID_VALUE) {
  if (!kept) throw Refusal{status, rule, true};
}

// Runs one function of the library. Ranks may call from several threads.
cublasStatus_t answer(void (*work)(void* context), void* context);
template <typename Work>
cublasStatus_t answer(Work work) {
  return answer([](void* context) { (*static_cast<Work*>(context))(); }, &work);
}

// The objects of one kind that have been created and not destroyed.
template <typename Object>
class Live {
 public:
  explicit Live(const char* kind) : kind_(kind) {}

  Object* create(const Object& object) {
    ++cublaslt().objects;
    return *all_.insert(new Object(object)).first;
  }
  Object& find(const void* handle) const {
    const auto found = all_.find(static_cast<Object*>(const_cast<void*>(handle)));
    require(found != all_.end(), std::string("a ") + kind_ + " was not created or is destroyed");
    return **found;
  }
  void destroy(const void* handle) {
    Object* object = &find(handle);
    all_.erase(object);
    delete object;
    --cublaslt().objects;
  }

 private:
  const char* kind_;
  std::set<Object*> all_;
};

struct Handle {
  int device;
  std::map<const void*, cudaStream_t> streams_of_workspaces = {};
};
struct Operation {
  cublasComputeType_t compute;
  cudaDataType_t scale;
  cublasOperation_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
  bool bias = false;
  const void* bias_data = nullptr;
};
struct Layout {
  cudaDataType_t type;
  uint64_t rows, columns;
  int64_t stride;  // the leading dimension: from one column to the next
  bool operator==(const Layout&) const = default;
};
struct Preference {
  uint64_t workspace = 0;
  uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_MASK;
  uint32_t alignment[4] = {256, 256, 256, 256};  // of A, B, C and D
};

}  // namespace simt
