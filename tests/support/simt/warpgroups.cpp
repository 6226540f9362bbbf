#include "simt/warpgroups.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <utility>

#include "simt/shared_accesses.h"
#include "simt/tensor_core.h"

namespace simt {
namespace {

constexpr int kRegisters = 65536, kMostPerThread = 256;  // registers of a multiprocessor, and of a thread

float from_bf16(uint32_t bits) { return std::bit_cast<float>(bits << 16); }

}  // namespace

Warpgroups::Warpgroups(AsyncProxy& proxy, int threads) : proxy_(proxy) {
  warps_.resize(static_cast<size_t>((threads + kWarpSize - 1) / kWarpSize));
  steps_.resize((warps_.size() + kWarps - 1) / kWarps);
  for (Warp& warp : warps_) warp.registers = std::min(kRegisters / threads / 8 * 8, kMostPerThread);
}

void Warpgroups::step(int warp, const Step& step) {
  const int group = warp / kWarps;
  if (static_cast<size_t>((group + 1) * kWarps) > warps_.size())
    fault(std::string(step.name) + " in a warpgroup of less than four warps");
  auto& steps = steps_[static_cast<size_t>(group)];
  const size_t own = warps_[static_cast<size_t>(warp)].steps++;
  if (own == steps.size())
    steps.push_back(step);
  else if (!(steps[own] == step))
    fault(std::string(step.name) + ": another warp of the warpgroup came to " + steps[own].name +
          (std::strcmp(step.name, steps[own].name) == 0 ? " with other operands" : ""));
}

void Warpgroups::read(int warp, Product& product, const MatrixDescriptor& descriptor, bool mn_major, size_t first,
                      std::vector<std::array<float, 16>>& rows) {
  const size_t units = product.units.size();
  const auto read_unit = [&](size_t mn, size_t k) {
    const uint32_t address = descriptor.unit_address(static_cast<uint32_t>(mn), static_cast<uint32_t>(k), mn_major);
    if (address < kWindowStart) fault("wgmma reads below the block's shared memory");
    Unit unit{address - kWindowStart, {}};
    proxy_.read(unit.offset, unit.contents.data(), unit.contents.size(), "wgmma");
    product.units.push_back(unit);
    shared_accesses().warp_reads(shared_memory() + unit.offset, unit.contents.size(), warp);
    std::array<uint16_t, 8> elements;
    std::memcpy(elements.data(), unit.contents.data(), sizeof elements);
    return elements;
  };
  for (size_t mn = 0; mn < rows.size(); mn += mn_major ? 8 : 1)
    for (size_t k = 0; k < 16; k += mn_major ? 1 : 8) {
      const auto elements = mn_major ? read_unit((first + mn) / 8, k) : read_unit(first + mn, k / 8);
      for (size_t i = 0; i < 8; ++i) (mn_major ? rows[mn + i][k] : rows[mn][k + i]) = from_bf16(elements[i]);
    }
  std::vector<size_t> offsets;
  for (size_t i = units; i < product.units.size(); ++i) offsets.push_back(product.units[i].offset);
  std::sort(offsets.begin(), offsets.end());
  if (const auto twice = std::adjacent_find(offsets.begin(), offsets.end()); twice != offsets.end())
    fault("wgmma: the descriptor's offsets make two parts of an operand one: both are at byte " +
          std::to_string(*twice) + " of shared memory");
}

void Warpgroups::multiply(int number, void* const operands[kWarpSize]) {
  Warp& warp = warps_[static_cast<size_t>(number)];
  std::array<const Wgmma*, kWarpSize> lanes;
  for (size_t i = 0; i < lanes.size(); ++i) lanes[i] = static_cast<const Wgmma*>(operands[i]);
  const Wgmma& first = *lanes[0];
  const uint64_t shape = static_cast<uint64_t>(first.n) << 4 | uint64_t{first.a_registers != nullptr} << 3 |
                         uint64_t{first.mn_major_a} << 2 | uint64_t{first.mn_major_b} << 1 | first.accumulate;
  step(number, {"wgmma.mma_async", first.a, first.b, shape});
  if (!warp.fenced) fault("wgmma.mma_async without wgmma.fence after the last access to its registers");
  for (const Wgmma* each : lanes)
    if (each->a != first.a || each->b != first.b || each->accumulate != first.accumulate)
      fault("wgmma.mma_async: the lanes of a warp have different operands");

  auto sums = std::find_if(warp.sums.begin(), warp.sums.end(),
                           [&](const Sums& other) { return other.registers[0] == first.d; });
  const auto per_lane = static_cast<size_t>(first.n / 2);
  if (sums == warp.sums.end()) {
    sums = warp.sums.insert(warp.sums.end(), {{}, first.n, 0, {}});
    for (size_t i = 0; i < lanes.size(); ++i) {
      sums->registers[i] = lanes[i]->d;
      sums->values.insert(sums->values.end(), lanes[i]->d, lanes[i]->d + per_lane);
      std::fill_n(lanes[i]->d, per_lane, std::bit_cast<float>(kSumPoison));
    }
  } else if (sums->n != first.n) {
    fault("wgmma.mma_async: a product of another shape is under way in the same registers");
  }
  ++sums->products;

  Product product{.sums = first.d, .units = {}};
  std::vector<std::array<float, 16>> a_rows(16), b_columns(static_cast<size_t>(first.n));
  if (first.a_registers) {
    for (size_t lane = 0; lane < lanes.size(); ++lane) {
      product.a_registers[lane] = lanes[lane]->a_registers;
      std::copy_n(lanes[lane]->a_registers, 4, product.a_values[lane].begin());
      for (size_t i = 0; i < 8; ++i)
        a_rows[lane / 4 + i / 2 % 2 * 8][lane % 4 * 2 + i % 2 + i / 4 * 8] =
            from_bf16(product.a_values[lane][i / 2] >> (i % 2 * 16) & 0xFFFF);
    }
  } else {
    read(number, product, MatrixDescriptor(first.a), first.mn_major_a, static_cast<size_t>(number % kWarps) * 16,
         a_rows);
  }
  read(number, product, MatrixDescriptor(first.b), first.mn_major_b, 0, b_columns);
  for (const Unit& unit : product.units) proxy_.begin_read(unit.offset, unit.contents.size());

  float a[16][16];
  for (size_t row = 0; row < 16; ++row) std::copy_n(a_rows[row].begin(), 16, a[row]);
  for (size_t block = 0; block < static_cast<size_t>(first.n / 8); ++block) {
    float b[16][8], d[16][8];
    for (size_t k = 0; k < 16; ++k)
      for (size_t n = 0; n < 8; ++n) b[k][n] = b_columns[block * 8 + n][k];
    const auto sum_at = [&](size_t row, size_t n) -> float& {
      const size_t lane = row % 8 * 4 + n / 2;
      return sums->values[lane * per_lane + block * 4 + row / 8 * 2 + n % 2];
    };
    for (size_t row = 0; row < 16; ++row)
      for (size_t n = 0; n < 8; ++n) d[row][n] = first.accumulate ? sum_at(row, n) : 0.0f;
    tensor_core_multiply(d, a, b);
    for (size_t row = 0; row < 16; ++row)
      for (size_t n = 0; n < 8; ++n) sum_at(row, n) = d[row][n];
  }
  warp.open.push_back(std::move(product));
}

void Warpgroups::fence(int warp) {
  step(warp, {"wgmma.fence"});
  warps_[static_cast<size_t>(warp)].fenced = true;
}

void Warpgroups::commit(int number) {
  step(number, {"wgmma.commit_group"});
  Warp& warp = warps_[static_cast<size_t>(number)];
  warp.groups.push_back(std::exchange(warp.open, {}));
}

void Warpgroups::complete(Warp& warp, const Product& product) {
  for (const Unit& unit : product.units) {
    if (!proxy_.unchanged(unit.offset, unit.contents.data(), unit.contents.size()))
      fault("shared memory changed before wgmma.wait_group: byte " + std::to_string(unit.offset) +
            " was reused too early");
    proxy_.end_read(unit.offset, unit.contents.size());
  }
  for (size_t lane = 0; lane < kWarpSize && product.a_registers[0]; ++lane)
    if (!std::equal(product.a_values[lane].begin(), product.a_values[lane].end(), product.a_registers[lane]))
      fault("the registers of A changed before wgmma.wait_group");
  const auto sums = std::find_if(warp.sums.begin(), warp.sums.end(),
                                 [&](const Sums& other) { return other.registers[0] == product.sums; });
  if (--sums->products > 0) return;
  const auto per_lane = static_cast<size_t>(sums->n / 2);
  for (size_t lane = 0; lane < kWarpSize; ++lane) {
    float* registers = sums->registers[lane];
    for (size_t i = 0; i < per_lane; ++i) {
      if (std::bit_cast<uint32_t>(registers[i]) != kSumPoison)
        fault("the registers of sums changed before wgmma.wait_group");
      registers[i] = sums->values[lane * per_lane + i];
    }
  }
  warp.sums.erase(sums);
}

void Warpgroups::wait(int number, int groups) {
  step(number, {"wgmma.wait_group", static_cast<uint64_t>(groups)});
  Warp& warp = warps_[static_cast<size_t>(number)];
  for (; std::ssize(warp.groups) > groups; warp.groups.pop_front())
    for (const Product& product : warp.groups.front()) {
      complete(warp, product);
      warp.fenced = false;
    }
}

void Warpgroups::set_registers(int number, int count, bool more) {
  const auto first = static_cast<size_t>(number / kWarps * kWarps);
  Warp& warp = warps_[static_cast<size_t>(number)];
  step(number, {more ? "setmaxnreg.inc" : "setmaxnreg.dec", static_cast<uint64_t>(count)});
  for (size_t i = first; i < first + kWarps; ++i)
    if (warps_[i].register_steps < warp.register_steps)
      fault("setmaxnreg: the warps of the warpgroup did not synchronise after the last one");
  ++warp.register_steps;
  if (count < 24 || count > kMostPerThread || count % 8 != 0)
    fault("setmaxnreg: " + std::to_string(count) + " registers");
  if (more ? count < warp.registers : count > warp.registers)
    fault(std::string(more ? "setmaxnreg.inc" : "setmaxnreg.dec") + " from " + std::to_string(warp.registers) + " to " +
          std::to_string(count) + " registers");
  if (!more) {
    free_registers_ += (warp.registers - count) * kWarpSize;
    warp.registers = count;
  }
}

bool Warpgroups::take_registers(int number, int count) {
  Warp& warp = warps_[static_cast<size_t>(number)];
  const int needed = (count - warp.registers) * kWarpSize;
  if (needed > free_registers_) return false;
  free_registers_ -= needed;
  warp.registers = count;
  return true;
}

void Warpgroups::end() const {
  for (size_t i = 0; i < warps_.size(); ++i) {
    if (!warps_[i].open.empty() || !warps_[i].groups.empty())
      fault("the block ended without wgmma.wait_group for its last product: its sums were never complete");
    if (const auto& steps = steps_[i / kWarps]; warps_[i].steps < steps.size())
      fault("warp " + std::to_string(i) + " ended without " + steps[warps_[i].steps].name +
            ", to which another warp of its warpgroup came");
  }
}

}  // namespace simt
