#include "simt/runtime.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <numeric>
#include <random>
#include <span>
#include <sstream>
#include <utility>
#include <vector>

#include "simt/device_memory.h"
#include "simt/fiber.h"
#include "simt/shared_accesses.h"
#include "simt/traced_memory.h"

namespace simt {
namespace {

constexpr size_t kStackBytes = 128 * 1024;
constexpr size_t kSharedAlignment = 1024;  // the largest alignment that kernels declare for dynamic shared memory
constexpr size_t kMaxSharedBytes = 227 * 1024;

std::mt19937_64& order() {
  static std::mt19937_64 engine(1);
  return engine;
}

Timing timing = Timing::late;

// True with probability 1 / `times`.
bool once_in(unsigned times) { return order()() % times == 0; }

enum class State : uint8_t { ready, at_barrier, in_warp, waiting, done };

// The condition that a waiting thread waits for.
struct Awaited {
  bool (*ready)(void*) = nullptr;
  std::string (*describe)(void*) = nullptr;
  void* context = nullptr;
};

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
  bool made = false;
};

struct Thread {
  Fiber fiber;
  Dim3 index;
  int lane = 0, warp = 0;
  State state = State::ready;
  int barrier_id = 0;               // valid while at a barrier
  const char* waits_for = nullptr;  // valid while in a warp operation
  Awaited awaited;                  // valid while waiting
  std::vector<Copy> copies;         // not yet committed to a group
  std::deque<std::vector<Copy>> groups;
  int atomics = 0;  // AtomicAccess objects

  SharedAccesses::Accessor accessor() const { return {warp * kWarpSize + lane, warp}; }
};

// The stacks and records of a running block. Blocks use them one after another, because allocating stacks takes longer
// than running most blocks.
struct Place {
  std::array<Thread, kMaxThreads> threads;
  SharedAccesses accesses;
};
constexpr size_t kPlaces = 2;
Place& place(size_t index) {
  static std::array<Place, kPlaces> all;
  return all[index];
}

struct Barrier {
  int arrived = 0, expected = 0;
};

// A warp operation that waits for the lanes of its mask. Parts of a warp may wait at the same time, with different
// masks.
struct Gathering {
  uint32_t mask = 0, arrived = 0;
  const char* name = nullptr;
  Complete complete = nullptr;
  std::array<void*, kWarpSize> operands{};
};

class Block {
 public:
  Block(Place& place, Dim3 grid, Dim3 size, size_t shared_bytes, const std::function<void()>& body)
      : grid_(grid),
        size_(size),
        shared_bytes_(shared_bytes),
        body_(body),
        threads_(std::span(place.threads).first(size.x * size.y * size.z)),
        accesses_(place.accesses) {
    gatherings_.resize((threads_.size() + kWarpSize - 1) / kWarpSize);
    for (size_t i = 0; i < threads_.size(); ++i) {
      Thread& thread = threads_[i];
      const auto at = static_cast<unsigned>(i);
      thread.index = {at % size.x, at / size.x % size.y, at / (size.x * size.y)};
      thread.lane = static_cast<int>(i % kWarpSize);
      thread.warp = static_cast<int>(i / kWarpSize);
    }
  }

  void start(Dim3 index);
  bool running_any() const { return done_ < threads_.size(); }
  // Runs every thread that can run, until each waits, gives way or ends.
  void step();

  Dim3 grid() const { return grid_; }
  Dim3 size() const { return size_; }
  Dim3 index() const { return index_; }
  Thread& running() { return *running_; }
  std::byte* shared() { return shared_.get(); }

  void wait_at(int id, int count);
  void gather(uint32_t mask, const char* name, Complete complete, void* operand);
  void note_access(const void* address, size_t bytes, bool write);
  void warp_synchronised() { accesses_.warp_synchronised(running_->warp); }
  void copy(const Copy& copy);
  void make(Copy& copy);
  void wait_for_copies(int groups);
  void wait_until(const Awaited& awaited);
  void give_way() { running_->fiber.leave(); }
  SharedAccesses& accesses() { return accesses_; }
  size_t shared_bytes() const { return shared_bytes_; }
  int thread_count() const { return static_cast<int>(threads_.size()); }
  std::unique_ptr<BlockState>& state() { return state_; }
  // The name of the running thread for messages; between two threads, the name of the block.
  std::string who() const { return running_ ? name_of(*running_) : "block " + in_words(index_); }

 private:
  [[noreturn]] void report_deadlock() const;
  std::string name_of(const Thread& thread) const;
  static std::string in_words(Dim3 index);

  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };

  Dim3 grid_, size_, index_;
  size_t shared_bytes_;
  const std::function<void()>& body_;
  std::span<Thread> threads_;
  SharedAccesses& accesses_;
  size_t done_ = SIZE_MAX;
  std::vector<Thread*> turn_;
  int accesses_to_turn_ = 1;                        // in Timing::interleaved
  std::vector<std::vector<Gathering>> gatherings_;  // indexed by warp
  std::array<Barrier, kNamedBarriers> barriers_{};
  std::unique_ptr<std::byte, Free> shared_;
  Thread* running_ = nullptr;  // null between two threads
  std::exception_ptr failure_;
  std::unique_ptr<BlockState> state_;  // null: not needed so far
};

Block* current = nullptr;

void Block::start(Dim3 index) {
  index_ = index;
  barriers_ = {};
  for (auto& warp : gatherings_) warp.clear();
  // The size is not rounded up here, so that AddressSanitizer catches an access just past the requested bytes.
  void* memory = nullptr;
  if (posix_memalign(&memory, kSharedAlignment, std::max<size_t>(shared_bytes_, 1)) != 0) throw std::bad_alloc();
  shared_.reset(static_cast<std::byte*>(memory));
  std::memset(shared_.get(), 0xFF, std::max<size_t>(shared_bytes_, 1));
  accesses_.start(shared_.get(), shared_bytes_, gatherings_.size());
  for (Thread& thread : threads_) {
    thread.state = State::ready;
    thread.copies.clear();
    thread.groups.clear();
    thread.atomics = 0;
    thread.fiber.start(kStackBytes, [this] {
      try {
        body_();
      } catch (...) {
        failure_ = std::current_exception();
      }
      running_->state = State::done;
    });
  }
  state_.reset();
  turn_.clear();
  for (Thread& thread : threads_) turn_.push_back(&thread);
  done_ = 0;
}

void Block::step() {
  std::shuffle(turn_.begin(), turn_.end(), order());
  bool moved = false;
  for (Thread* thread : turn_) {
    if (thread->state == State::waiting && thread->awaited.ready(thread->awaited.context)) thread->state = State::ready;
    if (thread->state != State::ready) continue;
    running_ = thread;
    thread->fiber.enter();
    running_ = nullptr;
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    if (!accesses_.race().empty())
      throw KernelError(name_of(*thread) + ": " + accesses_.race());  // code that must not throw may make the access
    done_ += thread->state == State::done;
    moved = true;
  }
  if (state_ && state_->advance(!moved)) moved = true;
  if (!moved) report_deadlock();
  if (!running_any() && state_) state_->end();
}

void Block::wait_until(const Awaited& awaited) {
  running_->state = State::waiting;
  running_->awaited = awaited;
  give_way();
}

void Block::note_access(const void* address, size_t bytes, bool write) {
  if (!running_ || !accesses_.contains(address)) return;
  using Kind = SharedAccesses::Kind;
  const Kind kind = running_->atomics > 0 ? Kind::atomic : write ? Kind::write : Kind::read;
  accesses_.access(address, bytes, kind, running_->accessor());
  if (timing != Timing::interleaved || running_->atomics > 0 || --accesses_to_turn_ > 0) return;
  accesses_to_turn_ = 1 + static_cast<int>(order()() % 512);
  give_way();
}

void Block::make(Copy& copy) {
  if (std::exchange(copy.made, true)) return;
  copy.from ? std::memcpy(copy.to, copy.from, copy.bytes) : std::memset(copy.to, 0, copy.bytes);
}

void Block::copy(const Copy& copy) {
  running_->copies.push_back(copy);
  accesses_.copy_starts(copy.to, copy.bytes, running_->accessor());
  if (timing == Timing::early || (timing == Timing::interleaved && once_in(2))) make(running_->copies.back());
}

void Block::wait_for_copies(int groups) {
  auto& all = running_->groups;
  if (timing == Timing::interleaved)
    for (auto& group : all)
      for (Copy& copy : group)
        if (once_in(2)) make(copy);
  for (; std::ssize(all) > groups; all.pop_front())
    for (Copy& copy : all.front()) {
      make(copy);
      accesses_.copy_ends(copy.to, copy.bytes, running_->accessor());
    }
}

void Block::wait_at(int id, int count) {
  if (id < 0 || id >= kNamedBarriers) throw KernelError("barrier " + std::to_string(id) + " does not exist");
  Barrier& barrier = barriers_[static_cast<size_t>(id)];
  if (count == 0) count = static_cast<int>(threads_.size());
  if (barrier.arrived > 0 && barrier.expected != count)
    throw KernelError(name_of(*running_) + " expects " + std::to_string(count) + " threads at barrier " +
                      std::to_string(id) + ", others " + std::to_string(barrier.expected));
  barrier.expected = count;
  if (++barrier.arrived < count) {
    running_->state = State::at_barrier;
    running_->barrier_id = id;
    return give_way();
  }
  barrier.arrived = 0;
  std::vector<int> met = {running_->accessor().thread};
  for (Thread& thread : threads_)
    if (thread.state == State::at_barrier && thread.barrier_id == id) {
      thread.state = State::ready;
      met.push_back(thread.accessor().thread);
    }
  if (met.size() == threads_.size())
    accesses_.block_synchronised();
  else
    accesses_.synchronised(met);
}

void Block::gather(uint32_t mask, const char* name, Complete complete, void* operand) {
  Thread& self = *running_;
  const uint32_t bit = 1u << self.lane;
  if ((mask & bit) == 0) throw KernelError(name_of(self) + " is not in its own mask in " + name);
  auto& warp = gatherings_[static_cast<size_t>(self.warp)];
  auto gathering = std::find_if(warp.begin(), warp.end(), [&](const Gathering& other) { return other.mask == mask; });
  if (gathering == warp.end()) {
    gathering = warp.insert(warp.end(), {mask, 0, name, complete, {}});
  } else if (gathering->complete != complete || std::strcmp(gathering->name, name) != 0) {
    throw KernelError(name_of(self) + " comes to " + name + " while its warp gathers for " + gathering->name);
  }
  gathering->arrived |= bit;
  gathering->operands[static_cast<size_t>(self.lane)] = operand;
  if (gathering->arrived != mask) {
    self.state = State::in_warp;
    self.waits_for = name;
    return give_way();
  }
  const Gathering full = *gathering;
  warp.erase(gathering);
  full.complete(full.operands.data());
  const auto first = static_cast<size_t>(self.warp) * kWarpSize;
  for (size_t i = first; i < std::min(first + kWarpSize, threads_.size()); ++i)
    if ((mask >> threads_[i].lane & 1) != 0) threads_[i].state = State::ready;
}

std::string Block::in_words(Dim3 index) {
  return "(" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " + std::to_string(index.z) + ")";
}

std::string Block::name_of(const Thread& thread) const {
  return "block " + in_words(index_) + " thread " + in_words(thread.index);
}

void Block::report_deadlock() const {
  std::ostringstream out;
  out << "deadlock:";
  int shown = 0;
  for (const Thread& thread : threads_) {
    if (thread.state == State::done || shown++ >= 4) continue;
    out << ' ' << name_of(thread) << " waits ";
    if (thread.state == State::at_barrier) {
      const Barrier& barrier = barriers_[static_cast<size_t>(thread.barrier_id)];
      out << "at barrier " << thread.barrier_id << " (" << barrier.arrived << " of " << barrier.expected << " came);";
    } else if (thread.state == State::waiting) {
      out << thread.awaited.describe(thread.awaited.context) << ';';
    } else {
      out << "in " << thread.waits_for << " for lanes of its warp;";
    }
  }
  throw KernelError(out.str());
}

Block& running_block() {
  if (!current) throw KernelError("device code called outside a kernel");
  return *current;
}

}  // namespace

void set_seed(uint64_t seed) { order().seed(seed); }

void launch(Dim3 grid, Dim3 block, size_t shared_bytes, const std::function<void()>& body) {
  const uint64_t threads = uint64_t{block.x} * block.y * block.z, blocks = uint64_t{grid.x} * grid.y * grid.z;
  if (threads == 0 || threads > kMaxThreads || blocks == 0 || grid.y > 65535 || grid.z > 65535 ||
      shared_bytes > kMaxSharedBytes)
    throw KernelError("no device takes a launch of " + std::to_string(blocks) + " blocks of " +
                      std::to_string(threads) + " threads with " + std::to_string(shared_bytes) +
                      " bytes of shared memory");
  if (current) throw KernelError("a kernel launched from a kernel");
  std::vector<uint64_t> sequence(blocks);
  std::iota(sequence.begin(), sequence.end(), uint64_t{0});
  std::shuffle(sequence.begin(), sequence.end(), order());
  const DeviceAccess access;
  const size_t places = timing == Timing::interleaved && blocks > 1 ? kPlaces : 1;
  std::deque<Block> runners;
  for (size_t i = 0; i < places; ++i) runners.emplace_back(place(i), grid, block, shared_bytes, body);
  struct NoCurrent {
    ~NoCurrent() {
      current = nullptr;
      traced_memory = {};
    }
  } const at_end;
  const auto index = [&](uint64_t at) {
    return Dim3{static_cast<unsigned>(at % grid.x), static_cast<unsigned>(at / grid.x % grid.y),
                static_cast<unsigned>(at / (uint64_t{grid.x} * grid.y))};
  };
  auto next = sequence.begin();
  for (bool any = true; any;) {
    any = false;
    for (Block& runner : runners) {
      current = &runner;
      if (!runner.running_any() && next != sequence.end()) runner.start(index(*next++));
      if (!runner.running_any()) continue;
      any = true;
      traced_memory = {reinterpret_cast<uintptr_t>(runner.shared()), shared_bytes};
      if (places == 1)
        while (runner.running_any()) runner.step();
      else
        runner.step();
    }
  }
}

void set_timing(Timing new_timing) { timing = new_timing; }
void note_access(const void* address, size_t bytes, bool write) {
  if (current) current->note_access(address, bytes, write);
}
AtomicAccess::AtomicAccess() { ++running_block().running().atomics; }
AtomicAccess::~AtomicAccess() { --running_block().running().atomics; }
void warp_synchronised() { running_block().warp_synchronised(); }

Dim3 thread_index() { return running_block().running().index; }
Dim3 block_index() { return running_block().index(); }
Dim3 block_size() { return running_block().size(); }
Dim3 grid_size() { return running_block().grid(); }
std::byte* shared_memory() { return running_block().shared(); }
int lane() { return running_block().running().lane; }
void async_copy(void* to, const void* from, size_t bytes) { running_block().copy({to, from, bytes}); }
void async_commit() {
  Thread& thread = running_block().running();
  thread.groups.push_back(std::exchange(thread.copies, {}));
}
void async_wait(int groups) { running_block().wait_for_copies(groups); }

void fault(const std::string& what) { throw KernelError(running_block().who() + ": " + what); }
Timing current_timing() { return timing; }
uint64_t random_below(uint64_t limit) { return order()() % limit; }
int thread_number() { return running_block().running().accessor().thread; }
int threads_of_block() { return running_block().thread_count(); }
size_t shared_bytes() { return running_block().shared_bytes(); }
void wait_until(bool (*ready)(void*), std::string (*describe)(void*), void* context) {
  running_block().wait_until({ready, describe, context});
}
void give_way() { running_block().give_way(); }
SharedAccesses& shared_accesses() { return running_block().accesses(); }
std::unique_ptr<BlockState>& block_state() { return running_block().state(); }
void barrier(int id, int threads) { running_block().wait_at(id, threads); }
void warp_collective(uint32_t mask, const char* name, Complete complete, void* operand) {
  running_block().gather(mask, name, complete, operand);
}

}  // namespace simt
