// The bits of grids of numbers under the context machine of dfm_flax/codec/pyramid/network.py,
// and their gradients, in one pass on a CPU.
//
//     (u mean, log2 (u scale)) = levels[grid] + linear u n + last(first(scales u n))
//
// for the neighbors n of a number in its grid, and u = 2^-fineness of the grid; two additive layers
// of frequency 1. A number takes -log2 of the mass that a Laplace distribution of that mean and
// scale has within 1/2 of it.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "../../fourier/kernels/parallel.h"
#include "layer.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace dfm {
namespace {

constexpr int kFrequency = 1;
constexpr int kBand = 16;  // rows of a grid whose share of the gradient is summed first: fixed
constexpr int kAbove = 2;  // rows that neighbors lie above
constexpr float kLogScale = 5;  // largest magnitude of log2 of a scale
constexpr float kLn2 = 0.693147181f;

struct Weights {
  const float *scales, *first, *last, *linear, *levels;
};

struct Gradients {
  float *scales, *first, *last, *linear, *levels;
};

struct Grid {
  int level, height, width, fineness;
  std::int64_t at;  // of its first number among all
};

// Some rows of one grid.
struct Band {
  Grid grid;
  int top, bottom;
  std::int64_t above_at;  // of its part of the gradient in the rows above it
};

struct Sizes {
  int neighbors, features, levels;
  const std::int64_t *rows, *columns;  // of each neighbor, relative to the number
};

// 2^x for |x| below 126: the polynomial of the fraction in [-1/2, 1/2] is off by 2e-7 of it.
inline float Exp2(float x) {
  const float whole = std::nearbyintf(x);
  const float f = x - whole;
  float y = 1.5316857e-4f;
  y = y * f + 1.3398874e-3f;
  y = y * f + 9.6184373e-3f;
  y = y * f + 5.5503324e-2f;
  y = y * f + 2.4022648e-1f;
  y = y * f + 6.9314720e-1f;
  y = y * f + 1.0f;
  const std::int32_t bits = (std::int32_t(whole) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return y * power;
}

// log2 of a positive number: 2 atanh((m - 1) / (m + 1)) of its mantissa m in [2^-1/2, 2^1/2), by a
// series that is off by 2e-9 of it.
inline float Log2(float x) {
  std::int32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  constexpr std::int32_t kLeast = 0x3f3504f3;  // the bits of 2^-1/2
  const std::int32_t exponent = (bits - kLeast) >> 23;
  bits -= exponent << 23;
  float m;
  std::memcpy(&m, &bits, sizeof m);
  const float t = (m - 1) / (m + 1), z = t * t;
  const float sum = 1 + z * (1.0f / 3 + z * (1.0f / 5 + z * (1.0f / 7 + z * (1.0f / 9))));
  return float(exponent) + 2.88539008f * t * sum;
}

// The bits of each number of a tile, and their gradients.
void LaplaceBits(const float* values, const float* means, const float* log_scales, float* bits,
                 float* d_values, float* d_means, float* d_log_scales) {
  for (int p = 0; p < kTile; ++p) {
    const float log_scale = std::clamp(log_scales[p], -kLogScale, kLogScale);
    const float rate = Exp2(-log_scale);
    const float from = values[p] - means[p];
    const float distance = std::fabs(from), sign = from < 0 ? -1.0f : 1.0f;
    const float near = distance - 0.5f, far = distance + 0.5f;
    const auto decay = [rate](float x) { return Exp2(std::max(-1.44269504f * x * rate, -120.0f)); };
    // Of the mass, relative to exp(-near rate) beyond the middle, where both tails are one side.
    const float near_tail = decay(std::fabs(near)), far_tail = decay(far), step = decay(1.0f);
    const bool outside = near >= 0;
    const float mass = outside ? 0.5f * (1 - step) : 1 - 0.5f * (near_tail + far_tail);
    const float by_rate =  // of the mass, relative to the mass
        outside ? 0.5f * step / mass - near
                : 0.5f * (-near * near_tail + far * far_tail) / mass;
    const float by_distance =
        outside ? -rate : -0.5f * rate * (near_tail - far_tail) / mass;
    bits[p] = (outside ? near * rate * 1.44269504f : 0.0f) - Log2(mass);
    const float d_distance = -1.44269504f * by_distance;
    d_values[p] = d_distance * sign;
    d_means[p] = -d_values[p];
    const bool clipped = log_scales[p] != log_scale;
    d_log_scales[p] = clipped ? 0.0f : 1.44269504f * by_rate * kLn2 * rate;
  }
}

class Machine {
 public:
  Machine(Sizes sizes, Weights weights)
      : sizes_(sizes),
        weights_(weights),
        first_(sizes.neighbors, sizes.features, kFrequency, weights.first,
               weights.first + sizes.features),
        last_(sizes.features, 2, kFrequency, kZeros, weights.last) {
    Scratch& scratch = ThreadScratch();
    scratch.Reset(first_.ScratchFloats() + last_.ScratchFloats() +
                  kTile * (3 * sizes.neighbors + 2 * sizes.features + 7) +
                  kLanes * GradientSize() + 256);
    first_.Take(scratch);
    last_.Take(scratch);
    around_ = scratch.Take(kTile * sizes.neighbors);
    scaled_ = scratch.Take(kTile * sizes.neighbors);
    d_scaled_ = scratch.Take(kTile * sizes.neighbors);
    hidden_ = scratch.Take(kTile * sizes.features);
    d_hidden_ = scratch.Take(kTile * sizes.features);
    predicted_ = scratch.Take(kTile * 2);
    g_ = scratch.Take(kTile * 2);
    values_ = scratch.Take(kTile);
    bits_ = scratch.Take(kTile);
    d_values_ = scratch.Take(kTile);
    lanes_ = scratch.Take(kLanes * GradientSize());
    std::fill_n(lanes_, kLanes * GradientSize(), 0.0f);
  }

  // Gradients lie one after the other: first, its constant, last, scales, linear, levels.
  int GradientSize() const {
    return first_.gradient_size() + sizes_.features + last_.gradient_size() +
           3 * sizes_.neighbors + 2 * sizes_.levels;
  }

  // Bits of some numbers of a row; with d_grid, adds to the gradients. d_above has the rows above
  // the band, the gradient of which others sum up.
  double Row(const Band& band, int y, int x, const float* numbers, float* d_numbers,
             float* d_above) {
    const auto [level, height, width, fineness, at] = band.grid;
    const float unit = std::ldexp(1.0f, -fineness), per_unit = std::ldexp(1.0f, fineness);
    const float* grid = numbers + at;
    const int count = std::min(kTile, width - x);
    for (int i = 0; i < sizes_.neighbors; ++i) {
      float* to = around_ + i * kTile;
      std::fill_n(to, kTile, 0.0f);
      const int row = y + sizes_.rows[i], column = x + sizes_.columns[i];
      const int begin = std::max(0, -column), end = std::min(count, width - column);
      if (row >= 0 && begin < end)
        std::copy_n(grid + std::int64_t(row) * width + column + begin, end - begin, to + begin);
      for (int p = 0; p < kTile; ++p) {
        to[p] *= unit;
        scaled_[i * kTile + p] = weights_.scales[i] * to[p];
      }
    }
    std::fill_n(values_, kTile, 0.0f);
    std::copy_n(grid + std::int64_t(y) * width + x, count, values_);
    first_.Forward(scaled_, hidden_);
    last_.Forward(hidden_, predicted_);
    for (int k = 0; k < 2; ++k) {
      float* to = predicted_ + k * kTile;
      for (int p = 0; p < kTile; ++p) to[p] += weights_.levels[2 * level + k];
      for (int i = 0; i < sizes_.neighbors; ++i) {
        const float weight = weights_.linear[2 * i + k];
        for (int p = 0; p < kTile; ++p) to[p] += weight * around_[i * kTile + p];
      }
    }
    for (int p = 0; p < kTile; ++p) {
      predicted_[p] *= per_unit;
      predicted_[kTile + p] += float(fineness);
    }
    LaplaceBits(values_, predicted_, predicted_ + kTile, bits_, d_values_, g_, g_ + kTile);
    double sum = 0;
    for (int p = 0; p < count; ++p) sum += bits_[p];
    if (!d_numbers) return sum;

    for (int p = 0; p < kTile; ++p) g_[p] *= per_unit;
    for (int k = 0; k < 2; ++k) std::fill(g_ + k * kTile + count, g_ + (k + 1) * kTile, 0.0f);
    float* d_first = lanes_;
    float* d_constant = d_first + kLanes * first_.gradient_size();
    float* d_last = d_constant + kLanes * sizes_.features;
    float* d_scales = d_last + kLanes * last_.gradient_size();
    float* d_linear = d_scales + kLanes * sizes_.neighbors;
    float* d_levels = d_linear + kLanes * 2 * sizes_.neighbors;
    last_.Backward(g_, d_last, d_hidden_);
    first_.Backward(d_hidden_, d_first, d_scaled_);
    for (int j = 0; j < sizes_.features; ++j)
      AddSum(d_hidden_ + j * kTile, d_constant + j * kLanes);
    for (int k = 0; k < 2; ++k) AddSum(g_ + k * kTile, d_levels + (2 * level + k) * kLanes);
    AddDots(sizes_.neighbors, 2, around_, g_, d_linear);
    float* d_row = d_numbers + at + std::int64_t(y) * width + x;
    for (int p = 0; p < count; ++p) d_row[p] += d_values_[p];
    for (int i = 0; i < sizes_.neighbors; ++i) {
      float* d = d_scaled_ + i * kTile;
      AddDots(1, 1, d, around_ + i * kTile, d_scales + i * kLanes);
      for (int p = 0; p < kTile; ++p) d[p] *= weights_.scales[i];
      for (int k = 0; k < 2; ++k) {
        const float weight = weights_.linear[2 * i + k];
        for (int p = 0; p < kTile; ++p) d[p] += weight * g_[k * kTile + p];
      }
      const int row = y + sizes_.rows[i], column = x + sizes_.columns[i];
      const int begin = std::max(0, -column), end = std::min(count, width - column);
      if (row < 0 || begin >= end) continue;
      float* to = row >= band.top ? d_numbers + at + std::int64_t(row) * width
                                  : d_above + std::int64_t(row - band.top + kAbove) * width;
      for (int p = begin; p < end; ++p) to[column + p] += unit * d[p];
    }
    return sum;
  }

  // The gradient of all tiles so far.
  void Gradient(float* to) const { SumLanes(GradientSize(), lanes_, to); }

  // A gradient in its parts.
  void Unpack(const float* sum, Gradients to) const {
    CopyNext(sum, first_.gradient_size(), to.first + sizes_.features);
    CopyNext(sum, sizes_.features, to.first);
    CopyNext(sum, last_.gradient_size(), to.last);
    CopyNext(sum, sizes_.neighbors, to.scales);
    CopyNext(sum, 2 * sizes_.neighbors, to.linear);
    CopyNext(sum, 2 * sizes_.levels, to.levels);
  }

 private:
  static constexpr float kZeros[2] = {0, 0};

  Sizes sizes_;
  Weights weights_;
  Layer first_, last_;
  float *around_, *scaled_, *d_scaled_, *hidden_, *d_hidden_, *predicted_, *g_, *values_, *bits_,
      *d_values_, *lanes_;
};

constexpr float Machine::kZeros[2];

// --- what XLA calls ---------------------------------------------------------------------------

using Array = ffi::Buffer<ffi::F32>;
using Result = ffi::ResultBuffer<ffi::F32>;
using Numbers = ffi::Span<const std::int64_t>;

// Bits of all grids together, and the gradients in everything. The grids lie one after the other;
// `heights` and `widths` are theirs.
ffi::Error Rate(ffi::ThreadPool pool, Array numbers, Array scales, Array first, Array last,
                Array linear, Array levels, Result bits, Result d_numbers, Result d_scales,
                Result d_first, Result d_last, Result d_linear, Result d_levels, Numbers heights,
                Numbers widths, Numbers fineness, Numbers rows, Numbers columns) {
  const auto first_dims = first.dimensions();
  const std::int64_t neighbors = rows.size();
  if (first_dims.size() != 2) return ffi::Error::InvalidArgument("arrays of other ranks");
  const std::int64_t features = first_dims[1];
  std::vector<Band> bands;
  std::int64_t size = 0, above = 0;
  for (std::size_t i = 0; i < heights.size(); ++i) {
    const Grid grid{int(i), int(heights[i]), int(widths[i]), int(fineness[i]), size};
    for (int top = 0; top < grid.height; top += kBand, above += kAbove * grid.width)
      bands.push_back({grid, top, std::min(top + kBand, grid.height), above});
    size += std::int64_t(grid.height) * grid.width;
  }
  if (std::int64_t(numbers.element_count()) != size || columns.size() != rows.size() ||
      widths.size() != heights.size() || fineness.size() != heights.size() ||
      std::int64_t(scales.element_count()) != neighbors ||
      first_dims[0] != 1 + 2 * kFrequency * neighbors ||
      std::int64_t(last.element_count()) != 4 * kFrequency * features ||
      std::int64_t(linear.element_count()) != 2 * neighbors ||
      levels.element_count() != 2 * heights.size())
    return ffi::Error::InvalidArgument("the weights do not fit the grids");
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (rows[i] > 0 || rows[i] < -kAbove || (rows[i] == 0 && columns[i] >= 0))
      return ffi::Error::InvalidArgument("a neighbor does not come before");

  const Sizes sizes{int(neighbors), int(features), int(heights.size()), rows.begin(),
                    columns.begin()};
  const Weights weights{scales.typed_data(), first.typed_data(), last.typed_data(),
                        linear.typed_data(), levels.typed_data()};
  const int partial_size = Machine(sizes, weights).GradientSize();
  const int count = bands.size();
  const std::unique_ptr<float[]> partials(new float[std::size_t(count) * partial_size]);
  const std::unique_ptr<float[]> d_above(new float[above]);
  std::vector<double> sums(count);
  const float* from = numbers.typed_data();
  float* to = d_numbers->typed_data();
  ParallelFor(pool, count, [&, all = partials.get(), d_all_above = d_above.get()](int i) {
    const Band& band = bands[i];
    const Grid& grid = band.grid;
    float* d_band_above = d_all_above + band.above_at;
    std::fill_n(d_band_above, kAbove * grid.width, 0.0f);
    std::fill_n(to + grid.at + std::int64_t(band.top) * grid.width,
                std::int64_t(band.bottom - band.top) * grid.width, 0.0f);
    Machine machine(sizes, weights);
    for (int y = band.top; y < band.bottom; ++y)
      for (int x = 0; x < grid.width; x += kTile)
        sums[i] += machine.Row(band, y, x, from, to, d_band_above);
    machine.Gradient(all + std::size_t(i) * partial_size);
  });
  double total = 0;
  float* all = partials.get();
  for (int i = 0; i < count; ++i) {
    total += sums[i];
    const Band& band = bands[i];
    for (int row = 0; row < kAbove && band.top > 0; ++row) {
      const float* d = d_above.get() + band.above_at + std::int64_t(row) * band.grid.width;
      const int y = band.top + row - kAbove;
      float* d_row = to + band.grid.at + std::int64_t(y) * band.grid.width;
      for (int x = 0; x < band.grid.width; ++x) d_row[x] += d[x];
    }
    if (i)
      for (int j = 0; j < partial_size; ++j) all[j] += all[std::size_t(i) * partial_size + j];
  }
  *bits->typed_data() = total;
  Machine(sizes, weights)
      .Unpack(all, {d_scales->typed_data(), d_first->typed_data(), d_last->typed_data(),
                    d_linear->typed_data(), d_levels->typed_data()});
  return ffi::Error::Success();
}

}  // namespace
}  // namespace dfm

XLA_FFI_DEFINE_HANDLER_SYMBOL(Rate, dfm::Rate,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .Ret<dfm::Array>()
                                  .Ret<dfm::Array>()
                                  .Ret<dfm::Array>()
                                  .Ret<dfm::Array>()
                                  .Ret<dfm::Array>()
                                  .Ret<dfm::Array>()
                                  .Ret<dfm::Array>()
                                  .Attr<dfm::Numbers>("heights")
                                  .Attr<dfm::Numbers>("widths")
                                  .Attr<dfm::Numbers>("fineness")
                                  .Attr<dfm::Numbers>("rows")
                                  .Attr<dfm::Numbers>("columns"));
