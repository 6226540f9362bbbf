#include "ops/backends.h"

#include <map>

namespace gptmoe {

Ops& double_ops(int threads) {
  static std::map<int, std::unique_ptr<Ops>> made;
  std::unique_ptr<Ops>& ops = made[threads];
  if (!ops) ops = make_cpu_ops_f64(threads);
  return *ops;
}

Ops& float_ops(int threads) {
  static std::map<int, std::unique_ptr<Ops>> made;
  std::unique_ptr<Ops>& ops = made[threads];
  if (!ops) ops = make_cpu_ops(threads);
  return *ops;
}

Ops& bf16_product_ops(int threads) {
  static std::map<int, std::unique_ptr<Ops>> made;
  std::unique_ptr<Ops>& ops = made[threads];
  if (!ops) ops = make_cpu_ops(threads, DType::bf16);
  return *ops;
}

}  // namespace gptmoe
