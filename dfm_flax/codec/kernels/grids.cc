// Entropy coding of grids of integers, for native.py. grids.py says what is coded how; it also
// has checked all arguments: sizes, magnitudes, and that arrays are as large as they should be.
//
// Grids lie one behind the other, the finest first, each with margins of zeros: [h + 3, w + 3],
// the grid itself from row 3 and column 3 on.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "../../fourier/kernels/supported.h"
#include "context.h"
#include "range_coder.h"

namespace dfm {
namespace {

constexpr int kMargin = 3;
constexpr int kReach = 64;
constexpr int kEnds = 2 * kReach + 2;  // entries of a table
constexpr int kMaxPrefix = 15;
constexpr uint32_t kHalf = 1 << (kPrecision - 1);

constexpr int kOffsets[kMaxNeighbors][2] = {  // dy, dx
    {0, -1}, {-1, 0},  {-1, -1}, {-1, 1}, {0, -2},  {-2, 0}, {-1, -2},
    {-1, 2}, {-2, -1}, {-2, 1},  {0, -3}, {-2, -2}, {-2, 2}, {-3, 0}};

enum Status { kFine = 0, kDamaged = 1, kTooLong = 2, kTooLarge = 3 };

int Order(int row) { return std::max(row / 16 - kWidths, 0) / 8; }

// Calls visit(value, prediction) for each place of a grid, along the fronts x + 3y = t if
// `fronts`, else row by row, as long as it returns kFine.
template <typename Visit>
Status Walk(const Model& model, int level, int32_t* grid, int64_t h, int64_t w, bool fronts,
            Visit visit) {
  const int64_t stride = w + kMargin;
  int64_t offsets[kMaxNeighbors];
  for (int i = 0; i < model.neighbors; ++i) {
    offsets[i] = kOffsets[i][0] * stride + kOffsets[i][1];
  }
  Predictor predict(model, level);
  int32_t context[kMaxNeighbors];
  const auto at = [&](int64_t y, int64_t x) {
    int32_t* place = grid + (y + kMargin) * stride + x + kMargin;
    for (int i = 0; i < model.neighbors; ++i) context[i] = place[offsets[i]];
    return visit(*place, predict(context));
  };
  if (fronts) {
    for (int64_t t = 0; t < w + 3 * (h - 1); ++t) {
      const int64_t end = std::min(h, t / 3 + 1);
      for (int64_t y = t < w ? 0 : (t - w) / 3 + 1; y < end; ++y) {
        if (const Status status = at(y, t - 3 * y)) return status;
      }
    }
  } else {
    for (int64_t y = 0; y < h; ++y) {
      for (int64_t x = 0; x < w; ++x) {
        if (const Status status = at(y, x)) return status;
      }
    }
  }
  return kFine;
}

// Calls visit(level, grid, h, w) for all grids, the coarsest first.
template <typename Visit>
Status ForGrids(const int64_t* shapes, int levels, int32_t* grids, Visit visit) {
  const auto size = [&](int level) {
    return (shapes[2 * level] + kMargin) * (shapes[2 * level + 1] + kMargin);
  };
  for (int level = 0; level < levels; ++level) grids += size(level);
  for (int level = levels - 1; level >= 0; --level) {
    grids -= size(level);
    if (const Status status = visit(level, grids, shapes[2 * level], shapes[2 * level + 1])) {
      return status;
    }
  }
  return kFine;
}

void EncodeBits(RangeEncoder& encoder, uint32_t value, int count) {
  while (count-- > 0) {
    const uint32_t low = (value >> count & 1) * kHalf;
    encoder.Encode(low, low + kHalf);
  }
}

void EncodeExcess(RangeEncoder& encoder, uint32_t excess, int order) {
  const uint32_t quotient = (excess >> order) + 1;
  int prefix = 0;
  while (quotient >> (prefix + 1)) ++prefix;
  EncodeBits(encoder, ~uint32_t{0} << 1, prefix + 1);
  EncodeBits(encoder, quotient, prefix);
  EncodeBits(encoder, excess, order);
}

// `count` bits, or -1 if no bits lead to these words.
int64_t DecodeBits(RangeDecoder& decoder, int count) {
  int64_t value = 0;
  while (count-- > 0) {
    const uint64_t point = decoder.Peek();
    if (point >= kTotal) return -1;
    const uint32_t bit = point >= kHalf;
    decoder.Take(bit * kHalf, bit * kHalf + kHalf);
    value = 2 * value + bit;
  }
  return value;
}

// An excess, or -1.
int64_t DecodeExcess(RangeDecoder& decoder, int order) {
  int prefix = 0;
  for (int64_t bit; (bit = DecodeBits(decoder, 1)) != 0; ++prefix) {
    if (bit < 0 || prefix == kMaxPrefix) return -1;
  }
  const int64_t digits = DecodeBits(decoder, prefix);
  if (digits < 0) return -1;
  const int64_t low = DecodeBits(decoder, order);
  if (low < 0) return -1;
  return (((int64_t{1} << prefix) + digits - 1) << order) + low;
}

Status DecodeValue(RangeDecoder& decoder, const int32_t* table, Prediction prediction,
                   int32_t& value) {
  const uint64_t point = decoder.Peek();
  if (point >= kTotal) return kDamaged;
  const int32_t place = static_cast<int32_t>(point);
  int symbol = kReach;
  if (place < table[kReach] || place >= table[kReach + 1]) {
    symbol = static_cast<int>(std::upper_bound(table, table + kEnds, place) - table) - 1;
  }
  decoder.Take(table[symbol], table[symbol + 1]);
  int64_t difference = symbol - kReach;
  if (difference == -kReach || difference == kReach) {
    const int64_t excess = DecodeExcess(decoder, Order(prediction.row));
    if (excess < 0) return kDamaged;
    difference += difference < 0 ? -excess : excess;
  }
  const int64_t whole = prediction.whole + difference;
  if (whole < -kLargest || whole > kLargest) return kTooLarge;
  value = static_cast<int32_t>(whole);
  return kFine;
}

}  // namespace
}  // namespace dfm

extern "C" {

// Whole means and rows of the tables, one behind the other without margins.
void Predict(const dfm::Model* model, const int64_t* shapes, int levels, int32_t* grids,
             int32_t* wholes, int32_t* rows) {
  int64_t end = 0;
  for (int level = 0; level < levels; ++level) end += shapes[2 * level] * shapes[2 * level + 1];
  dfm::ForGrids(shapes, levels, grids, [&](int level, int32_t* grid, int64_t h, int64_t w) {
    int64_t i = end -= h * w;
    return dfm::Walk(*model, level, grid, h, w, false, [&](int32_t, dfm::Prediction prediction) {
      wholes[i] = prediction.whole;
      rows[i++] = prediction.row;
      return dfm::kFine;
    });
  });
}

// The number of words, or -1 if they are more than `capacity`.
int64_t Encode(const dfm::Model* model, const int32_t* tables, const int64_t* shapes, int levels,
               int32_t* grids, uint32_t* words, int64_t capacity) {
  dfm::RangeEncoder encoder(words, capacity);
  dfm::ForGrids(shapes, levels, grids, [&](int level, int32_t* grid, int64_t h, int64_t w) {
    return dfm::Walk(*model, level, grid, h, w, true, [&](int32_t value, dfm::Prediction made) {
      const int32_t difference = value - made.whole;
      const int32_t excess = std::abs(difference) - dfm::kReach;
      const int symbol = std::clamp(difference, -dfm::kReach, dfm::kReach) + dfm::kReach;
      const int32_t* table = tables + made.row * dfm::kEnds;
      encoder.Encode(table[symbol], table[symbol + 1]);
      if (excess >= 0) dfm::EncodeExcess(encoder, excess, dfm::Order(made.row));
      return dfm::kFine;
    });
  });
  const int64_t size = encoder.Finish();
  return encoder.overflown() ? -1 : size;
}

// Fills grids that are all zeros; returns a Status.
int Decode(const dfm::Model* model, const int32_t* tables, const int64_t* shapes, int levels,
           const uint32_t* words, int64_t size, int32_t* grids) {
  dfm::RangeDecoder decoder(words, size);
  const dfm::Status status =
      dfm::ForGrids(shapes, levels, grids, [&](int level, int32_t* grid, int64_t h, int64_t w) {
        return dfm::Walk(*model, level, grid, h, w, true, [&](int32_t& value, dfm::Prediction made) {
          return dfm::DecodeValue(decoder, tables + made.row * dfm::kEnds, made, value);
        });
      });
  if (status) return status;
  return decoder.MayEnd() ? dfm::kFine : dfm::kTooLong;
}
}
