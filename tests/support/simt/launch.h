#pragma once
// What cudaLaunchKernel() of the simulated runtime must know about a kernel: how to call it with arguments that come as
// an array of pointers.
#include <functional>
#include <tuple>
#include <utility>

namespace simt {

// Copies the arguments and returns a call of the kernel with them, to be made by every thread.
using BindArguments = std::function<std::function<void()>(void** arguments)>;
void register_kernel(const void* kernel, BindArguments bind);

template <typename... Params>
void register_kernel(void (*kernel)(Params...)) {
  register_kernel(reinterpret_cast<const void*>(kernel), [kernel](void** arguments) {
    return [&]<size_t... kIndex>(std::index_sequence<kIndex...>)->std::function<void()> {
      return [kernel, copied = std::tuple<Params...>(*static_cast<Params*>(arguments[kIndex])...)] {
        std::apply(kernel, copied);
      };
    }
    (std::index_sequence_for<Params...>());
  });
}

}  // namespace simt
