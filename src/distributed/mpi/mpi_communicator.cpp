#include "distributed/mpi/mpi_communicator.h"

#include <sched.h>

#include <chrono>
#include <exception>

#include "distributed/mpi/mpi_check.h"
#include "distributed/mpi/rank_sum.h"
#include "distributed/mpi/staging.h"

namespace gptmoe {
namespace {

constexpr int64_t kLineBytes = 64;

MPI_Datatype element_type(DType dtype) {
  switch (dtype) {
    case DType::f32: return MPI_FLOAT;
    case DType::f64: return MPI_DOUBLE;
    case DType::bf16: return MPI_UINT16_T;
    case DType::i32: return MPI_INT32_T;
    case DType::i64: return MPI_INT64_T;
    case DType::u8: return MPI_UINT8_T;
  }
  return MPI_BYTE;
}

bool completed(MPI_Request& request) {
  int done = 0;
  MPI_CHECK(MPI_Test(&request, &done, MPI_STATUS_IGNORE));
  return done != 0;
}

}  // namespace

// Adds the time from its construction to its destruction to the cost of one kind of traffic.
class MpiCommunicator::Timed {
 public:
  Timed(MpiCommunicator& communicator, Traffic traffic) : cost_(communicator.costs_[static_cast<size_t>(traffic)]) {}
  ~Timed() { cost_.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

 private:
  TrafficCost& cost_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

MpiCommunicator::MpiCommunicator(MPI_Comm ranks, Activity& activity, int64_t countable)
    : activity_(activity), countable_(countable), slots_(static_cast<size_t>(kMpiPiecesUnderWay)) {
  MPI_CHECK(MPI_Comm_dup(ranks, &first_comm_));
  MPI_CHECK(MPI_Comm_dup(ranks, &gather_comm_));
  MPI_CHECK(MPI_Comm_rank(first_comm_, &rank_));
  MPI_CHECK(MPI_Comm_size(first_comm_, &size_));
  MPI_CHECK(MPI_Type_contiguous(kLineBytes, MPI_BYTE, &line_type_));
  MPI_CHECK(MPI_Type_commit(&line_type_));
}

MpiCommunicator::~MpiCommunicator() {
  if (!pieces_.empty() || std::uncaught_exceptions() > 0) return;  // other ranks may never reach this point
  MPI_Type_free(&line_type_);
  MPI_Comm_free(&gather_comm_);
  MPI_Comm_free(&first_comm_);
}

MpiCommunicator::Piece& MpiCommunicator::add(const Tensor& x, Traffic traffic, First first) {
  Piece piece{};
  piece.ticket = next_;
  piece.traffic = traffic;
  piece.first = first;
  piece.base = static_cast<char*>(x.data());
  piece.dtype = x.dtype();
  return pieces_.emplace_back(std::move(piece));
}

// Cuts `count` elements into parts as even as possible.
void MpiCommunicator::even_parts(Piece& piece, int64_t count) const {
  for (int r = 0; r < size_; ++r) {
    const int64_t begin = count * r / size_;
    piece.at.push_back(begin);
    piece.counts.push_back(count * (r + 1) / size_ - begin);
  }
}

Communicator::Ticket MpiCommunicator::started(Traffic traffic, int64_t bytes) {
  TrafficCost& cost = costs_[static_cast<size_t>(traffic)];
  ++cost.calls;
  cost.bytes += bytes;
  progress();
  return next_++;
}

Communicator::Ticket MpiCommunicator::start_all_reduce(const Tensor& x, Traffic traffic) {
  const Timed timed(*this, traffic);
  if (x.bytes() * size_ <= kMpiSmallBytes) {
    Piece& piece = add(x, traffic, First::small_gather);
    piece.counts = {x.count()};
  } else {
    const int64_t most = kMpiPieceBytes / dtype_bytes(x.dtype());
    for (int64_t begin = 0; begin < x.count(); begin += most) {
      Piece& piece = add(x, traffic, First::exchange);
      piece.base += begin * dtype_bytes(x.dtype());
      piece.then_gather = true;
      even_parts(piece, std::min(most, x.count() - begin));
    }
  }
  return started(traffic, all_reduce_bytes(x.bytes(), size_));
}

Communicator::Ticket MpiCommunicator::start_reduce_scatter(const Tensor& x, Traffic traffic) {
  GPTMOE_CHECK(x.count() % size_ == 0, x.describe(), " in ", size_, " parts");
  const Timed timed(*this, traffic);
  const int64_t part = x.count() / size_;
  const int64_t most = std::max<int64_t>(1, kMpiPieceBytes / kLineBytes / size_) * kLineBytes / dtype_bytes(x.dtype());
  for (int64_t begin = 0; begin < part; begin += most) {
    Piece& piece = add(x, traffic, First::exchange);
    piece.counts.assign(static_cast<size_t>(size_), std::min(most, part - begin));
    for (int r = 0; r < size_; ++r) piece.at.push_back(r * part + begin);
  }
  return started(traffic, reduce_scatter_bytes(x.bytes(), size_));
}

Communicator::Ticket MpiCommunicator::start_all_gather(const Tensor& x, Traffic traffic) {
  GPTMOE_CHECK(x.count() % size_ == 0, x.describe(), " in ", size_, " parts");
  const Timed timed(*this, traffic);
  even_parts(add(x, traffic, First::gather), x.count());
  return started(traffic, all_gather_bytes(x.bytes(), size_));
}

Communicator::Ticket MpiCommunicator::start_broadcast(const Tensor& x, int root, Traffic traffic) {
  const Timed timed(*this, traffic);
  Piece& piece = add(x, traffic, First::broadcast);
  piece.root = root;
  piece.counts = {x.count()};
  return started(traffic, root == rank_ && size_ > 1 ? x.bytes() : 0);
}

void MpiCommunicator::wait(Ticket ticket) {
  if (pieces_.empty() || pieces_.front().ticket > ticket) return;
  const Timed timed(*this, pieces_.front().traffic);
  const WaitingIn waiting(activity_, kTrafficNames[static_cast<size_t>(pieces_.front().traffic)]);
  for (progress(); !pieces_.empty() && pieces_.front().ticket <= ticket; progress()) sched_yield();
}

// Advances every piece as far as possible without waiting. Every rank starts the first stages in the order of pieces_,
// and the gathers in that order too. First stages and gathers may interleave differently on each rank.
void MpiCommunicator::progress() {
  bool all_begun = true, all_gathering = true;  // for all earlier pieces
  for (Piece& piece : pieces_) {
    if (piece.stage == Stage::queued && all_begun) begin(piece);
    if (piece.stage == Stage::first && completed(piece.request)) {
      if (piece.slot >= 0) sum(piece);
      piece.stage = piece.then_gather ? Stage::summed : Stage::done;
    }
    if (piece.stage == Stage::summed && all_gathering) {
      begin_gather(piece, gather_comm_);
      piece.stage = Stage::gathering;
    }
    if (piece.stage == Stage::gathering && completed(piece.request)) piece.stage = Stage::done;
    all_begun = all_begun && piece.stage != Stage::queued;
    all_gathering = all_gathering && (!piece.then_gather || piece.stage >= Stage::gathering);
  }
  while (!pieces_.empty() && pieces_.front().stage == Stage::done) pieces_.pop_front();
}

bool MpiCommunicator::slot_free() const {
  return std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return !slot.taken; });
}

void MpiCommunicator::begin(Piece& piece) {
  const bool reduces = piece.first == First::exchange || piece.first == First::small_gather;
  if (reduces && !slot_free()) return;
  choose_unit(piece);
  switch (piece.first) {
    case First::exchange: begin_exchange(piece); break;
    case First::small_gather:
      MPI_CHECK(MPI_Iallgather(piece.base, piece.unit_counts[0], piece.unit,
                               staging(piece, size_ * piece.counts[0] * dtype_bytes(piece.dtype)), piece.unit_counts[0],
                               piece.unit, first_comm_, &piece.request));
      break;
    case First::gather: begin_gather(piece, first_comm_); break;
    case First::broadcast:
      MPI_CHECK(MPI_Ibcast(piece.base, piece.unit_counts[0], piece.unit, piece.root, first_comm_, &piece.request));
      break;
  }
  piece.stage = Stage::first;
}

// Chooses what MPI counts: elements, or lines of 64 bytes if the number of elements exceeds an int.
void MpiCommunicator::choose_unit(Piece& piece) {
  const int64_t element = dtype_bytes(piece.dtype);
  piece.at.resize(piece.counts.size());
  const int64_t end = piece.at.back() + piece.counts.back();
  int64_t elements = 1;
  piece.unit = element_type(piece.dtype);
  if (end > countable_) {
    elements = kLineBytes / element;
    piece.unit = line_type_;
  }
  const auto units = [&](int64_t count) {
    if (count % elements != 0 || count / elements > countable_)
      throw Failure(text("a tensor of ", end, " elements exceeds MPI's counts; parts must be multiples of ", elements,
                         " elements, not ", piece.counts.front()));
    return static_cast<int>(count / elements);
  };
  for (size_t i = 0; i < piece.counts.size(); ++i) {
    piece.unit_counts.push_back(units(piece.counts[i]));
    piece.units_at.push_back(units(piece.at[i]));
  }
}

// Sends every rank its part. The other ranks' values of our part are staged in rank order.
void MpiCommunicator::begin_exchange(Piece& piece) {
  const auto own = static_cast<size_t>(rank_);
  const int ours = piece.unit_counts[own];
  int staged = 0;
  for (int r = 0; r < size_; ++r) {
    const int from_r = r == rank_ ? 0 : ours;
    piece.staged_counts.push_back(from_r);
    piece.staged_at.push_back(staged);
    staged += from_r;
  }
  piece.own_counts = piece.unit_counts;
  piece.own_counts[own] = 0;  // already in place
  char* into = staging(piece, (size_ - 1) * piece.counts[own] * dtype_bytes(piece.dtype));
  MPI_CHECK(MPI_Ialltoallv(piece.base, piece.own_counts.data(), piece.units_at.data(), piece.unit, into,
                           piece.staged_counts.data(), piece.staged_at.data(), piece.unit, first_comm_,
                           &piece.request));
}

void MpiCommunicator::begin_gather(Piece& piece, MPI_Comm over) {
  MPI_CHECK(MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, piece.base, piece.unit_counts.data(),
                            piece.units_at.data(), piece.unit, over, &piece.request));
}

// Sums the staged values: all ranks' tensors, or the other ranks' values of our part. In the second case our own values
// are still in the tensor.
void MpiCommunicator::sum(Piece& piece) {
  Slot& slot = slots_[static_cast<size_t>(piece.slot)];
  const bool whole = piece.first == First::small_gather;
  const auto own = static_cast<size_t>(rank_);
  const int64_t count = whole ? piece.counts[0] : piece.counts[own], element = dtype_bytes(piece.dtype);
  char* out = whole ? piece.base : piece.base + piece.at[own] * element;
  std::vector<const void*> parts;
  const char* next = slot.bytes.data();
  for (int r = 0; r < size_; ++r) {
    const bool here = !whole && r == rank_;
    parts.push_back(here ? out : next);
    if (!here) next += count * element;
  }
  sum_in_rank_order(piece.dtype, out, parts, count);
  slot.taken = false;
}

char* MpiCommunicator::staging(Piece& piece, int64_t bytes) {
  const auto slot = std::find_if(slots_.begin(), slots_.end(), [](const Slot& each) { return !each.taken; });
  piece.slot = static_cast<int>(slot - slots_.begin());
  slot->taken = true;
  if (slot->bytes.size() < static_cast<size_t>(bytes)) slot->bytes = std::vector<char>(static_cast<size_t>(bytes));
  return slot->bytes.data();
}

}  // namespace gptmoe
