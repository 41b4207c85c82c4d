// An additive layer over one tile, forward and backward, with its harmonics kept in between.
#pragma once

#include <algorithm>
#include <cstddef>

#include "../../fourier/kernels/harmonics.h"
#include "../../fourier/kernels/matmul.h"
#include "../../fourier/kernels/tile.h"

namespace dfm {

// Sums over positions stay apart by lanes, kLanes for each, until all tiles are done.

inline void AddSum(const float* tile, float* lanes) {
  Vector sum = Load(lanes);
  for (int p = 0; p < kTile; p += kLanes) sum += Load(tile + p);
  Store(lanes, sum);
}

template <int ROWS, int COLUMNS>
inline void AddBlockOfDots(const float* a, const float* b, float* lanes, int columns) {
  Vector sum[ROWS][COLUMNS];
  const auto at = [&](int r, int c) { return lanes + (r * columns + c) * kLanes; };
#pragma GCC unroll 4
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int c = 0; c < COLUMNS; ++c) sum[r][c] = Load(at(r, c));
#pragma GCC unroll 8
  for (int p = 0; p < kTile; p += kLanes) {
    Vector row[ROWS];
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; ++r) row[r] = Load(a + r * kTile + p);
#pragma GCC unroll 4
    for (int c = 0; c < COLUMNS; ++c) {
      const Vector column = Load(b + c * kTile + p);
#pragma GCC unroll 4
      for (int r = 0; r < ROWS; ++r) sum[r][c] += row[r] * column;
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int c = 0; c < COLUMNS; ++c) Store(at(r, c), sum[r][c]);
}

// As many blocks of COLUMNS columns as fit, then smaller ones.
template <int ROWS, int COLUMNS>
inline void AddRowsOfDots(const float* a, const float* b, float* lanes, int columns, int done) {
  for (; columns - done >= COLUMNS; done += COLUMNS)
    AddBlockOfDots<ROWS, COLUMNS>(a, b + done * kTile, lanes + done * kLanes, columns);
  if constexpr (COLUMNS > 1)
    if (done < columns) AddRowsOfDots<ROWS, COLUMNS - 1>(a, b, lanes, columns, done);
}

// Adds the dot product of each row of a [rows, kTile] with each of b [columns, kTile] to
// lanes [rows, columns, kLanes].
inline void AddDots(int rows, int columns, const float* a, const float* b, float* lanes) {
  constexpr int kColumns = kLanes == 16 ? 4 : 2;
  int r = 0;
  for (; r + 4 <= rows; r += 4)
    AddRowsOfDots<4, kColumns>(a + r * kTile, b, lanes + r * columns * kLanes, columns, 0);
  for (; r < rows; ++r)
    AddRowsOfDots<1, kColumns>(a + r * kTile, b, lanes + r * columns * kLanes, columns, 0);
}

inline void SumLanes(int count, const float* lanes, float* to) {
  for (int i = 0; i < count; ++i) {
    to[i] = 0;
    for (int lane = 0; lane < kLanes; ++lane) to[i] += lanes[i * kLanes + lane];
  }
}

// Copies the next `size` of a row of gradients, and steps behind them.
inline void CopyNext(const float*& from, int size, float* to) {
  std::copy_n(from, size, to);
  from += size;
}

// y = constant + transposed matrix * harmonics(x), for x [m, kTile] in periods, y [n, kTile] and
// the matrix [2 m F, n] of an additive series.
class Layer {
 public:
  Layer(int m, int n, int frequency, const float* constant, const float* matrix)
      : basis_(m, frequency), n_(n), constant_(constant), matrix_(matrix) {}

  int rows() const { return basis_.piece_rows(); }
  int gradient_size() const { return rows() * n_; }  // of the matrix
  std::size_t ScratchFloats() const { return basis_.ScratchFloats() + kTile * rows(); }

  void Take(Scratch& scratch) {
    basis_.Take(scratch);
    d_harmonics_ = scratch.Take(kTile * rows());
  }

  void Forward(const float* x, float* y) {
    basis_.Evaluate(x);
    for (int j = 0; j < n_; ++j) std::fill_n(y + j * kTile, kTile, constant_[j]);
    Multiply(n_, kTile, rows(), {matrix_, 1, n_}, basis_.Piece(0), kTile, y, kTile, true);
  }

  // After Forward: adds to the gradient in the matrix, by lanes, and makes that in x [m, kTile].
  void Backward(const float* g, float* d_matrix_lanes, float* d_x) {
    AddDots(rows(), n_, basis_.Piece(0), g, d_matrix_lanes);
    Multiply(rows(), kTile, n_, {matrix_, n_, 1}, g, kTile, d_harmonics_, kTile, false);
    basis_.PullBackPiece(0, d_harmonics_);
    basis_.PullBack(n_, nullptr, nullptr, d_x);
  }

 private:
  Harmonics basis_;
  int n_;
  const float *constant_, *matrix_;
  float* d_harmonics_;
};

}  // namespace dfm
