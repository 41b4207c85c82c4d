// The basis of the full Fourier series; dfm_flax/fourier/tensor_products.py has the formulas.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "tile.h"

namespace dfm {

// Functions of the basis that are multiplied at once: with a tile of them fit the L1 cache.
constexpr int kPieceRows = 64;

// The products of one function of each of some coordinates, and their gradients.
class Products {
 public:
  Products(int functions, int coordinates) : functions_(functions), coordinates_(coordinates) {
    for (int i = 0; i < coordinates; ++i) rows_ *= functions;
  }

  int rows() const { return rows_; }
  std::size_t ScratchFloats() const { return kTile * 2 * rows_ + 16 * coordinates_; }

  void Take(Scratch& scratch) {
    levels_.resize(coordinates_ + 1);
    int rows = 1;
    for (int i = coordinates_; i >= 0; --i, rows *= functions_)
      levels_[i] = scratch.Take(kTile * rows);
  }

  // Function f of coordinate i is the row factors + (f * stride + i) * kTile.
  const float* Evaluate(const float* factors, int stride) {
    std::fill_n(levels_[coordinates_], kTile, 1.0f);
    int rows = 1;
    for (int i = coordinates_ - 1; i >= 0; --i, rows *= functions_)
      for (int f = 0; f < functions_; ++f)
        Multiply(rows, factors + (f * stride + i) * kTile, levels_[i + 1],
                 levels_[i] + f * rows * kTile);
    return levels_[0];
  }

  const float* values() const { return levels_[0]; }

  // The gradient in the factors from that in the products, which is overwritten.
  void PullBack(const float* factors, int stride, float* d_products, float* d_factors) const {
    int rows = rows_;
    for (int i = 0; i < coordinates_; ++i) {
      rows /= functions_;
      for (int f = 0; f < functions_; ++f) {
        const int at = (f * stride + i) * kTile;
        Unmultiply(rows, f == 0, factors + at, d_products + f * rows * kTile, levels_[i + 1],
                   d_products, d_factors + at);
      }
    }
  }

  static void Multiply(int rows, const float* factor, const float* from, float* to) {
    for (int r = 0; r < rows; ++r, from += kTile, to += kTile)
      for (int p = 0; p < kTile; ++p) to[p] = factor[p] * from[p];
  }

  // The gradients of to = factor * from: in `factor`, and in `from`, added up unless `first`.
  static void Unmultiply(int rows, bool first, const float* factor, const float* d_to,
                         const float* from, float* d_from, float* d_factor) {
    float sum[kTile] = {};
    for (int r = 0; r < rows; ++r, d_to += kTile, from += kTile, d_from += kTile)
      for (int p = 0; p < kTile; ++p) {
        sum[p] += d_to[p] * from[p];
        d_from[p] = (first ? 0.0f : d_from[p]) + d_to[p] * factor[p];
      }
    std::copy_n(sum, kTile, d_factor);
  }

 private:
  int functions_, coordinates_, rows_ = 1;
  std::vector<float*> levels_;  // levels_[i]: the products over coordinates i, i+1, ..
};

// The real tensor products T_t of the full series: y = cos(S) (M_1 T) + sin(S) (M_2 T), where
// M_1 and M_2 are the first and the last n columns of the matrix, transposed. They come in pieces that fit the
// innermost cache: one product of the outer coordinates times all products of the inner ones.
class TensorProducts {
 public:
  TensorProducts(int coordinates, int frequency)
      : m_(coordinates),
        f_(frequency),
        outer_(f_ + 1, m_ - Inner()),
        inner_(f_ + 1, Inner()) {}

  int pieces() const { return outer_.rows(); }
  int piece_rows() const { return inner_.rows(); }
  static int Columns(int n) { return 2 * n; }
  std::size_t ScratchFloats() const {
    return outer_.ScratchFloats() + inner_.ScratchFloats() +
           std::size_t(kTile) * (2 * (f_ + 1) * m_ + 2 * piece_rows() + pieces() + 6);
  }

  void Take(Scratch& scratch) {
    outer_.Take(scratch);
    inner_.Take(scratch);
    factors_ = scratch.Take(kTile * (f_ + 1) * m_);
    d_factors_ = scratch.Take(kTile * (f_ + 1) * m_);
    piece_ = scratch.Take(kTile * piece_rows());
    d_inner_ = scratch.Take(kTile * piece_rows());
    d_outer_ = scratch.Take(kTile * pieces());
    sin_ = scratch.Take(kTile);
    cos_ = scratch.Take(kTile);
    work_ = scratch.Take(4 * kTile);
  }

  // Prepares the pieces at x [m, kTile].
  void Evaluate(const float* x) {
    std::fill_n(work_, kTile, 0.0f);
    for (int i = 0; i < m_; ++i)
      for (int p = 0; p < kTile; ++p) work_[p] += x[i * kTile + p];
    for (int p = 0; p < kTile; ++p) work_[p] *= f_;
    SinCosPi(work_, sin_, cos_);
    for (int i = 0; i < m_; ++i) Factors(x + i * kTile, i);
    outer_.Evaluate(factors_, m_);
    inner_.Evaluate(InnerFactors(factors_), m_);
  }

  // [piece_rows, kTile]
  const float* Piece(int index) {
    if (pieces() == 1) return inner_.values();
    Products::Multiply(piece_rows(), outer_.values() + index * kTile, inner_.values(), piece_);
    return piece_;
  }

  void PullBackPiece(int index, const float* d_piece) {
    Products::Unmultiply(piece_rows(), index == 0, outer_.values() + index * kTile, d_piece,
                         inner_.values(), d_inner_, d_outer_ + index * kTile);
  }

  // The gradient in x [m, kTile], once those in all pieces have been pulled back.
  void PullBack(int n, const float* z, const float* g, float* d_x) {
    outer_.PullBack(factors_, m_, d_outer_, d_factors_);
    inner_.PullBack(InnerFactors(factors_), m_, d_inner_, InnerFactors(d_factors_));
    float* d_phase = work_;
    std::fill_n(d_phase, kTile, 0.0f);
    for (int j = 0; j < n; ++j)
      for (int p = 0; p < kTile; ++p)
        d_phase[p] += g[j * kTile + p] *
                      (cos_[p] * z[(n + j) * kTile + p] - sin_[p] * z[j * kTile + p]);
    for (int i = 0; i < m_; ++i) {
      float* d = d_x + i * kTile;
      for (int p = 0; p < kTile; ++p) d[p] = f_ * d_phase[p];
      for (int g = f_, f = 0; g > 0; g -= 2, f += 2) {
        const float *cos = Factor(f, i), *sin = cos + m_ * kTile;
        const float *d_cos = d_factors_ + (f * m_ + i) * kTile, *d_sin = d_cos + m_ * kTile;
        for (int p = 0; p < kTile; ++p) d[p] += g * (d_sin[p] * cos[p] - d_cos[p] * sin[p]);
      }
      for (int p = 0; p < kTile; ++p) d[p] *= kPi;
    }
  }

  // y [n, kTile] from z = M basis [2n, kTile].
  void Combine(int n, const float* z, float* y) const {
    for (int j = 0; j < n; ++j)
      for (int p = 0; p < kTile; ++p)
        y[j * kTile + p] = cos_[p] * z[j * kTile + p] + sin_[p] * z[(n + j) * kTile + p];
  }

  // The gradient in z from that in y.
  void Spread(int n, const float* g, float* d_z) const {
    for (int j = 0; j < n; ++j)
      for (int p = 0; p < kTile; ++p) {
        d_z[j * kTile + p] = cos_[p] * g[j * kTile + p];
        d_z[(n + j) * kTile + p] = sin_[p] * g[j * kTile + p];
      }
  }

 private:
  // The most coordinates whose products are at most kPieceRows.
  int Inner() const {
    int inner = 0;
    for (int rows = f_ + 1; inner < m_ && rows <= kPieceRows; rows *= f_ + 1) ++inner;
    return std::max(inner, 1);
  }

  float* Factor(int f, int i) { return factors_ + (f * m_ + i) * kTile; }
  float* InnerFactors(float* factors) const { return factors + (m_ - Inner()) * kTile; }

  // cos(g theta), sin(g theta) for g = F, F-2, .. > 0, then 1 if F is even; theta = pi x.
  void Factors(const float* x, int i) {
    float *sin2 = work_ + kTile, *cos2 = work_ + 2 * kTile;
    float *cos = Factor(f_ % 2 ? f_ - 1 : f_ - 2, i), *sin = cos + m_ * kTile;  // g = 1 or 2
    SinCosPi(x, sin, cos);
    if (f_ == 1) return;
    Rotate(cos, sin, cos, sin, cos2, sin2);
    if (f_ % 2 == 0) {
      std::copy_n(cos2, kTile, cos);
      std::copy_n(sin2, kTile, sin);
      std::fill_n(Factor(f_, i), kTile, 1.0f);
    }
    for (float* next = cos - 2 * m_ * kTile; next >= factors_; cos = next, next -= 2 * m_ * kTile)
      Rotate(cos, cos + m_ * kTile, cos2, sin2, next, next + m_ * kTile);
  }

  int m_, f_;
  Products outer_, inner_;
  float *factors_, *d_factors_, *piece_, *d_inner_, *d_outer_, *sin_, *cos_, *work_;
};

}  // namespace dfm
