// The basis of the additive Fourier series.
#pragma once

#include <algorithm>
#include <cstddef>

#include "tile.h"

namespace dfm {

// cos(2 pi f x_i) for all f and i, then the sines: the basis of the additive
// series, y = transposed matrix * basis.
class Harmonics {
 public:
  Harmonics(int coordinates, int frequency) : m_(coordinates), f_(frequency) {}

  int pieces() const { return 1; }
  int piece_rows() const { return 2 * m_ * f_; }
  static int Columns(int n) { return n; }
  std::size_t ScratchFloats() const { return kTile * (piece_rows() + 1); }

  void Take(Scratch& scratch) {
    basis_ = scratch.Take(kTile * piece_rows());
    work_ = scratch.Take(kTile);
  }

  void Evaluate(const float* x) {
    for (int i = 0; i < m_; ++i) {
      for (int p = 0; p < kTile; ++p) work_[p] = 2 * x[i * kTile + p];
      SinCosPi(work_, Sin(1, i), Cos(1, i));
      for (int f = 2; f <= f_; ++f)
        Rotate(Cos(f - 1, i), Sin(f - 1, i), Cos(1, i), Sin(1, i), Cos(f, i), Sin(f, i));
    }
  }

  const float* Piece(int) const { return basis_; }
  void PullBackPiece(int, const float* d_basis) { d_basis_ = d_basis; }

  void Combine(int n, const float* z, float* y) const { std::copy_n(z, n * kTile, y); }
  void Spread(int n, const float* g, float* d_z) const { std::copy_n(g, n * kTile, d_z); }

  void PullBack(int, const float*, const float*, float* d_x) const {
    for (int i = 0; i < m_; ++i) {
      float* d = d_x + i * kTile;
      std::fill_n(d, kTile, 0.0f);
      for (int f = 1; f <= f_; ++f) {
        const float *cos = Cos(f, i), *sin = Sin(f, i);
        const float *d_cos = d_basis_ + (cos - basis_), *d_sin = d_basis_ + (sin - basis_);
        for (int p = 0; p < kTile; ++p)
          d[p] += 2 * kPi * f * (d_sin[p] * cos[p] - d_cos[p] * sin[p]);
      }
    }
  }

 private:
  float* Cos(int f, int i) const { return basis_ + ((f - 1) * m_ + i) * kTile; }
  float* Sin(int f, int i) const { return Cos(f, i) + m_ * f_ * kTile; }

  int m_, f_;
  float *basis_, *work_;
  const float* d_basis_;
};

}  // namespace dfm
