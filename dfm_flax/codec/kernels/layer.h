// An additive layer over one tile, forward and backward, with its harmonics kept in between.
#pragma once

#include <algorithm>
#include <cstddef>

#include "../../fourier/kernels/harmonics.h"
#include "../../fourier/kernels/matmul.h"
#include "../../fourier/kernels/tile.h"

namespace dfm {

// y = constant + transposed matrix * harmonics(x), for x [m, kTile] in periods, y [n, kTile] and
// the matrix [2 m F, n] of an additive series.
class Layer {
 public:
  Layer(int m, int n, int frequency, const float* constant, const float* matrix)
      : basis_(m, frequency), m_(m), n_(n), constant_(constant), matrix_(matrix) {}

  int rows() const { return basis_.piece_rows(); }
  int padded() const { return RoundUp(n_, kLanes); }
  // Of the gradient in the matrix, whose rows are padded to whole vectors.
  int gradient_size() const { return rows() * padded(); }
  std::size_t ScratchFloats() const {
    return basis_.ScratchFloats() + kTile * (rows() + padded());
  }

  void Take(Scratch& scratch) {
    basis_.Take(scratch);
    d_harmonics_ = scratch.Take(kTile * rows());
    transposed_ = scratch.Take(kTile * padded());
    std::fill_n(transposed_, kTile * padded(), 0.0f);
  }

  void Forward(const float* x, float* y) {
    basis_.Evaluate(x);
    for (int j = 0; j < n_; ++j) std::fill_n(y + j * kTile, kTile, constant_[j]);
    Multiply(n_, kTile, rows(), {matrix_, 1, n_}, basis_.Piece(0), kTile, y, kTile, true);
  }

  // After Forward: adds to the gradient in the matrix [rows, padded], makes that in x [m, kTile].
  void Backward(const float* g, float* d_matrix, float* d_x) {
    for (int p = 0; p < kTile; ++p)
      for (int j = 0; j < n_; ++j) transposed_[p * padded() + j] = g[j * kTile + p];
    Multiply(rows(), padded(), kTile, {basis_.Piece(0), kTile, 1}, transposed_, padded(), d_matrix,
             padded(), true);
    Multiply(rows(), kTile, n_, {matrix_, n_, 1}, g, kTile, d_harmonics_, kTile, false);
    basis_.PullBackPiece(0, d_harmonics_);
    basis_.PullBack(n_, nullptr, nullptr, d_x);
  }

  // A summed gradient without its padding.
  void Unpad(const float* padded_sum, float* to) const {
    for (int r = 0; r < rows(); ++r)
      std::copy_n(padded_sum + r * padded(), n_, to + r * n_);
  }

 private:
  Harmonics basis_;
  int m_, n_;
  const float *constant_, *matrix_;
  float *d_harmonics_, *transposed_;
};

inline float Sum(const float* tile) {
  float sum = 0;
  for (int p = 0; p < kTile; ++p) sum += tile[p];
  return sum;
}

inline float Dot(const float* a, const float* b) {
  Vector sums{};
  for (int p = 0; p < kTile; p += kLanes) sums += Load(a + p) * Load(b + p);
  float sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) sum += sums[lane];
  return sum;
}

}  // namespace dfm
