// A 3x3 filter of a picture with all its channels, value and gradient, on a CPU: the functions
// that dfm_flax/codec/filter.py hands to XLA.
//
// Pictures are [channels, height, width] and are continued beyond their edges by their border.
// Weights are [channels, 3, 3, channels]: of the output, of row and column, of the input.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "../../fourier/kernels/matmul.h"
#include "../../fourier/kernels/parallel.h"
#include "../../fourier/kernels/supported.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace dfm {
namespace {

// Rows whose share of the weights' gradient is summed before it is added to the others'. Fixed,
// so that results do not depend on the number of threads.
constexpr int kBand = 16;

struct Size {
  int channels, height, width;
  std::int64_t Weights() const { return 9 * channels * channels; }
};

// Row `row` of a channel with one more pixel at each end, of a picture that goes on by its border.
void Continued(Size size, const float* picture, int channel, int row, float* to) {
  row = std::clamp(row, 0, size.height - 1);
  const float* from = picture + (std::int64_t(channel) * size.height + row) * size.width;
  to[0] = from[0];
  std::copy_n(from, size.width, to + 1);
  to[size.width + 1] = from[size.width - 1];
}

// The rows around `row` of all channels, continued: [3, channels, width + 2].
void Around(Size size, const float* picture, int row, float* to) {
  for (int a = 0; a < 3; ++a)
    for (int c = 0; c < size.channels; ++c, to += size.width + 2)
      Continued(size, picture, c, row + a - 1, to);
}

void Forward(ffi::ThreadPool& pool, Size size, const float* picture, const float* weights,
             float* result) {
  ParallelFor(pool, (size.height + kBand - 1) / kBand, [=](int band) {
    const auto [channels, height, width] = size;
    std::vector<float> around(3 * channels * (width + 2));
    for (int row = band * kBand; row < std::min((band + 1) * kBand, height); ++row) {
      Around(size, picture, row, around.data());
      for (int o = 0; o < channels; ++o) {
        float* to = result + (std::int64_t(o) * height + row) * width;
        std::fill_n(to, width, 0.0f);
        for (int a = 0; a < 3; ++a)
          for (int c = 0; c < channels; ++c) {
            const float* from = around.data() + (a * channels + c) * (width + 2);
            const float* k = weights + (o * 9 + a * 3) * channels + c;
            const float left = k[0], middle = k[channels], right = k[2 * channels];
            for (int x = 0; x < width; ++x)
              to[x] += left * from[x] + middle * from[x + 1] + right * from[x + 2];
          }
      }
    }
  });
}

// The gradient in row `row` of the continued picture, from -1 to height: [channels, width + 2].
void PullBackRow(Size size, const float* weights, const float* g, int row, float* padded, float* to) {
  const auto [channels, height, width] = size;
  std::fill_n(to, channels * (width + 2), 0.0f);
  std::fill_n(padded, width + 4, 0.0f);
  for (int o = 0; o < channels; ++o)
    for (int a = 0; a < 3; ++a) {
      const int from = row - a + 1;
      if (from < 0 || from >= height) continue;
      std::copy_n(g + (std::int64_t(o) * height + from) * width, width, padded + 2);
      for (int c = 0; c < channels; ++c) {
        const float* k = weights + (o * 9 + a * 3) * channels + c;
        const float left = k[0], middle = k[channels], right = k[2 * channels];
        float* row_to = to + c * (width + 2);
        for (int x = 0; x < width + 2; ++x)
          row_to[x] += left * padded[x + 2] + middle * padded[x + 1] + right * padded[x];
      }
    }
}

void Backward(ffi::ThreadPool& pool, Size size, const float* picture, const float* weights,
              const float* g, float* d_picture, float* d_weights) {
  const int bands = (size.height + kBand - 1) / kBand;
  const std::unique_ptr<float[]> partials(new float[bands * size.Weights()]);
  float* const all_partials = partials.get();
  ParallelFor(pool, bands, [=](int band) {
    const auto [channels, height, width] = size;
    const int wide = width + 2;
    std::vector<float> around(3 * channels * wide), padded(width + 4), row_gradient(channels * wide);
    float* partial = all_partials + band * size.Weights();
    std::fill_n(partial, size.Weights(), 0.0f);
    for (int row = band * kBand; row < std::min((band + 1) * kBand, height); ++row) {
      const auto add = [&](int continued) {
        PullBackRow(size, weights, g, continued, padded.data(), row_gradient.data());
        for (int c = 0; c < channels; ++c) {
          const float* from = row_gradient.data() + c * wide;
          float* to = d_picture + (std::int64_t(c) * height + row) * width;
          for (int x = 0; x < width; ++x) to[x] += from[x + 1];
          to[0] += from[0];
          to[width - 1] += from[width + 1];
        }
      };
      for (int c = 0; c < channels; ++c)
        std::fill_n(d_picture + (std::int64_t(c) * height + row) * width, width, 0.0f);
      add(row);
      if (row == 0) add(-1);
      if (row == height - 1) add(height);

      Around(size, picture, row, around.data());
      for (int o = 0; o < channels; ++o) {
        const float* g_row = g + (std::int64_t(o) * height + row) * width;
        for (int a = 0; a < 3; ++a)
          for (int c = 0; c < channels; ++c) {
            const float* from = around.data() + (a * channels + c) * wide;
            Vector left{}, middle{}, right{};
            int x = 0;
            for (; x + kLanes <= width; x += kLanes) {
              const Vector by = Load(g_row + x);
              left += by * Load(from + x);
              middle += by * Load(from + x + 1);
              right += by * Load(from + x + 2);
            }
            for (; x < width; ++x) {
              left[0] += g_row[x] * from[x];
              middle[0] += g_row[x] * from[x + 1];
              right[0] += g_row[x] * from[x + 2];
            }
            float* to = partial + (o * 9 + a * 3) * channels + c;
            for (int lane = 0; lane < kLanes; ++lane) {
              to[0] += left[lane];
              to[channels] += middle[lane];
              to[2 * channels] += right[lane];
            }
          }
      }
    }
  });
  for (std::int64_t i = 0; i < size.Weights(); ++i) {
    float sum = 0;
    for (int band = 0; band < bands; ++band) sum += all_partials[band * size.Weights() + i];
    d_weights[i] = sum;
  }
}

// --- what XLA calls ---------------------------------------------------------------------------

using Array = ffi::Buffer<ffi::F32>;
using Result = ffi::ResultBuffer<ffi::F32>;

ffi::ErrorOr<Size> Check(const Array& picture, const Array& weights) {
  const auto dims = picture.dimensions();
  if (dims.size() != 3)
    return ffi::Unexpected(ffi::Error::InvalidArgument("a picture is [channels, height, width]"));
  const Size size{int(dims[0]), int(dims[1]), int(dims[2])};
  if (std::int64_t(weights.element_count()) != size.Weights())
    return ffi::Unexpected(ffi::Error::InvalidArgument("the weights do not fit the channels"));
  return size;
}

ffi::Error FilterForward(ffi::ThreadPool pool, Array picture, Array weights, Result result) {
  const auto size = Check(picture, weights);
  if (!size) return size.error();
  Forward(pool, *size, picture.typed_data(), weights.typed_data(), result->typed_data());
  return ffi::Error::Success();
}

ffi::Error FilterBackward(ffi::ThreadPool pool, Array picture, Array weights, Array g,
                          Result d_picture, Result d_weights) {
  const auto size = Check(picture, weights);
  if (!size) return size.error();
  Backward(pool, *size, picture.typed_data(), weights.typed_data(), g.typed_data(),
           d_picture->typed_data(), d_weights->typed_data());
  return ffi::Error::Success();
}

}  // namespace
}  // namespace dfm

XLA_FFI_DEFINE_HANDLER_SYMBOL(FilterForward, dfm::FilterForward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .Ret<dfm::Array>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(FilterBackward, dfm::FilterBackward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .Ret<dfm::Array>()
                                  .Ret<dfm::Array>());
