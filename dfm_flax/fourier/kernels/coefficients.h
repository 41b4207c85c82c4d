// From the coefficients of a full series to those of its tensor products, and gradients back.
// dfm_flax/fourier/tensor_products.py has the formulas.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace dfm {

// A linear change of basis of w_k = a_k - i b_k, one coordinate after the other:
//   cos_g = w_(k+) + w_(k-),  sin_g = i (w_(k+) - w_(k-)),  k+- = (F +- g) / 2,  g = F, F-2, ..
// and for even F the constant w_(F/2), the last of the functions.
class ChangeOfBasis {
 public:
  ChangeOfBasis(int coordinates, int frequency, int outputs)
      : coordinates_(coordinates), f_(frequency), n_(outputs), size_(outputs) {
    for (int i = 0; i < coordinates; ++i) size_ *= f_ + 1;
    for (auto* part : {&re_, &im_, &next_re_, &next_im_}) part->resize(size_);
  }

  // coefficients [2 rows - 1, n] to the matrix [rows, 2n] of alpha = Re w and beta = -Im w.
  void Forward(const float* coefficients, float* matrix) {
    std::copy_n(coefficients, size_, re_.data());
    std::fill_n(im_.data(), n_, 0.0f);
    for (std::size_t i = n_; i < size_; ++i) im_[i] = -coefficients[size_ + i - n_];
    EachCoordinate<false>();
    for (std::size_t row = 0; row < size_; row += n_, matrix += 2 * n_)
      for (int j = 0; j < n_; ++j) {
        matrix[j] = re_[row + j];
        matrix[n_ + j] = -im_[row + j];
      }
  }

  // The gradient in the coefficients from that in the matrix.
  void Backward(const float* d_matrix, float* d_coefficients) {
    for (std::size_t row = 0; row < size_; row += n_, d_matrix += 2 * n_)
      for (int j = 0; j < n_; ++j) {
        re_[row + j] = d_matrix[j];
        im_[row + j] = -d_matrix[n_ + j];
      }
    EachCoordinate<true>();
    std::copy_n(re_.data(), size_, d_coefficients);
    for (std::size_t i = n_; i < size_; ++i) d_coefficients[size_ + i - n_] = -im_[i];
  }

 private:
  template <bool kBackward>
  void EachCoordinate() {
    std::size_t block = size_;
    for (int i = 0; i < coordinates_; ++i) {
      const std::size_t whole = block;
      block /= f_ + 1;
      for (std::size_t begin = 0; begin < size_; begin += whole) {
        for (int g = f_, t = 0; g > 0; g -= 2, t += 2)
          Pair<kBackward>(block, begin + (f_ + g) / 2 * block, begin + (f_ - g) / 2 * block,
                          begin + t * block, begin + (t + 1) * block);
        if (f_ % 2 == 0) {
          std::size_t from = begin + f_ / 2 * block, to = begin + f_ * block;
          if (kBackward) std::swap(from, to);
          std::copy_n(re_.data() + from, block, next_re_.data() + to);
          std::copy_n(im_.data() + from, block, next_im_.data() + to);
        }
      }
      std::swap(re_, next_re_);
      std::swap(im_, next_im_);
    }
  }

  template <bool kBackward>
  void Pair(std::size_t count, std::size_t plus, std::size_t minus, std::size_t cos,
            std::size_t sin) {
    const float *re = re_.data(), *im = im_.data();
    float *__restrict to_re = next_re_.data(), *__restrict to_im = next_im_.data();
    for (std::size_t e = 0; e < count; ++e)
      if constexpr (kBackward) {
        to_re[plus + e] = re[cos + e] + im[sin + e];
        to_im[plus + e] = im[cos + e] - re[sin + e];
        to_re[minus + e] = re[cos + e] - im[sin + e];
        to_im[minus + e] = im[cos + e] + re[sin + e];
      } else {
        to_re[cos + e] = re[plus + e] + re[minus + e];
        to_im[cos + e] = im[plus + e] + im[minus + e];
        to_re[sin + e] = im[minus + e] - im[plus + e];
        to_im[sin + e] = re[plus + e] - re[minus + e];
      }
  }

  int coordinates_, f_, n_;
  std::size_t size_;  // rows * n
  std::vector<float> re_, im_, next_re_, next_im_;
};

}  // namespace dfm
