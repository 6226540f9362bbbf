#include "engine/moment.h"

#include <algorithm>

#include "kernels/block_code.h"

namespace gptmoe {
namespace {

int64_t block_end(int64_t at) { return blocks_of(at) * kBlockElements; }

}  // namespace

Partition coded_rows(const ParamTable& params, const std::vector<bool>& excluded) {
  const std::vector<ParamRow>& rows = params.rows();
  Partition coded;
  int64_t begin = 0, end = 0;  // of neighbouring rows
  for (size_t r = 0; r < rows.size(); ++r) {
    const ParamRow& row = rows[r];
    const int64_t last = block_end(row.offset + row.count);
    const bool alone = r + 1 == rows.size() || rows[r + 1].offset >= last;
    if (excluded[r] || row.stat || row.sizes.size() < 2 || row.offset % kBlockElements != 0 || !alone) continue;
    if (row.offset != end) {
      if (begin < end) coded.add(begin, end - begin);
      begin = row.offset;
    }
    end = last;
  }
  if (begin < end) coded.add(begin, end - begin);
  return coded;
}

void Moment::allocate(Arena& arena, const Partition& held, const Partition& coded, DType kept_in, DType stat) {
  stat_ = stat;
  held_ = held.without(coded);
  values_ = arena.allocate(kept_in, {held_.count()});
  coded_ = {{}, {}, held.common_with(coded), coded};
  if (coded.count() == 0) return;
  coded_.codes = arena.allocate(DType::u8, {coded_.held.count()});
  coded_.scales = arena.allocate(stat, {blocks_of(coded_.held.count())});
}

void Moment::for_each_part(int64_t first, int64_t total, const std::function<void(int64_t, int64_t)>& visit) const {
  constexpr int64_t kPart = int64_t{1} << 20;
  const auto visit_pieces = [&](const Partition& held, bool whole) {
    for (const Partition::Piece& piece : held.within(first, total))
      for (int64_t at = 0; at < piece.count;) {
        const int64_t count = whole ? piece.count : std::min(kPart, piece.count - at);
        visit(piece.offset + at, count);
        at += count;
      }
  };
  visit_pieces(held_, values_.dtype() == stat_);
  visit_pieces(coded_.held, false);
}

Moment::Part Moment::part(const Pass& pass, Scratch::Frame& frame, int64_t offset, int64_t count) const {
  Part part;
  part.stream_ = stream_;
  const std::vector<Partition::Piece> coded = coded_.held.within(offset, count);
  if (coded.empty()) {
    part.kept_ = part.values_ = values_.rows(held_.within(offset, count).front().at, count);
    if (values_.dtype() == stat_) return part;
    part.values_ = frame.allocate(stat_, {count});
    pass.ops.cast(part.values_, part.kept_);
    return part;
  }
  const int64_t at = coded.front().at;
  part.kept_ = coded_.codes.rows(at, count);
  part.scales_ = coded_.scales.rows(at / kBlockElements, blocks_of(count));
  part.values_ = frame.allocate(stat_, {count});
  pass.ops.decode_blocks(part.values_, part.kept_, part.scales_, has_sign());
  return part;
}

void Moment::Part::store(const Pass& pass, const Tensor& step_1, int64_t place) const {
  const auto stream = static_cast<int64_t>(stream_);
  if (scales_.present())
    pass.ops.encode_blocks(kept_, scales_, values_, step_1, place, stream, stream_ == RoundingStream::first_moment);
  else if (values_.dtype() != kept_.dtype())
    pass.ops.round_randomly(kept_, values_, step_1, place, stream);
}

}  // namespace gptmoe
