// The synthesis of dfm_flax/codec/pyramid/network.py at many pixels, value and gradient, on a CPU.
//
//     colors = bias + linear v + last(first(scales v))
//
// for values v of all grids, an array of [pixels] each; two additive layers of frequency 2. What lies between stays in the
// cache, and is computed again for the gradient.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "../../fourier/kernels/parallel.h"
#include "layer.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace dfm {
namespace {

constexpr int kFrequency = 2;
constexpr int kChunk = 2048;  // pixels whose share of the gradient is summed first: fixed

struct Sizes {
  std::int64_t pixels;
  int grids, features, channels;
};

struct Weights {
  const float *scales, *first, *last, *linear, *bias;
};

struct Gradients {
  float *scales, *first, *last, *linear, *bias;
};

// Both layers, and the tiles between them.
class Machine {
 public:
  Machine(Sizes sizes, Weights weights)
      : sizes_(sizes),
        weights_(weights),
        first_(sizes.grids, sizes.features, kFrequency, weights.first,
               weights.first + sizes.features),
        last_(sizes.features, sizes.channels, kFrequency, weights.bias, weights.last) {
    Scratch& scratch = ThreadScratch();
    scratch.Reset(first_.ScratchFloats() + last_.ScratchFloats() +
                  kTile * (4 * sizes.grids + 2 * sizes.features + 2 * sizes.channels) +
                  kLanes * GradientSize() + 256);
    first_.Take(scratch);
    last_.Take(scratch);
    values_ = scratch.Take(kTile * sizes.grids);
    scaled_ = scratch.Take(kTile * sizes.grids);
    d_scaled_ = scratch.Take(kTile * sizes.grids);
    d_values_ = scratch.Take(kTile * sizes.grids);
    hidden_ = scratch.Take(kTile * sizes.features);
    d_hidden_ = scratch.Take(kTile * sizes.features);
    colors_ = scratch.Take(kTile * sizes.channels);
    g_ = scratch.Take(kTile * sizes.channels);
    lanes_ = scratch.Take(kLanes * GradientSize());
    std::fill_n(lanes_, kLanes * GradientSize(), 0.0f);
  }

  // Gradients lie one after the other: first, its constant, last, scales, linear, bias.
  int GradientSize() const {
    return first_.gradient_size() + sizes_.features + last_.gradient_size() + sizes_.grids +
           sizes_.grids * sizes_.channels + sizes_.channels;
  }

  void Forward(const float* const* values, std::int64_t at, float* colors) {
    Evaluate(values, at);
    for (int c = 0; c < sizes_.channels; ++c)
      for (int i = 0; i < sizes_.grids; ++i) {
        const float weight = weights_.linear[i * sizes_.channels + c];
        for (int p = 0; p < kTile; ++p)
          colors_[c * kTile + p] += weight * values_[i * kTile + p];
      }
    StoreTile(sizes_.channels, colors_, sizes_.pixels, at, colors);
  }

  void Backward(const float* const* values, const float* g, std::int64_t at,
                float* const* d_values) {
    const auto [pixels, grids, features, channels] = sizes_;
    LoadTile(channels, g, pixels, at, g_);
    Evaluate(values, at);
    float* d_first = lanes_;
    float* d_constant = d_first + kLanes * first_.gradient_size();
    float* d_last = d_constant + kLanes * features;
    float* d_scales = d_last + kLanes * last_.gradient_size();
    float* d_linear = d_scales + kLanes * grids;
    float* d_bias = d_linear + kLanes * grids * channels;
    last_.Backward(g_, d_last, d_hidden_);
    first_.Backward(d_hidden_, d_first, d_scaled_);
    for (int j = 0; j < features; ++j) AddSum(d_hidden_ + j * kTile, d_constant + j * kLanes);
    for (int c = 0; c < channels; ++c) AddSum(g_ + c * kTile, d_bias + c * kLanes);
    AddDots(grids, channels, values_, g_, d_linear);
    for (int i = 0; i < grids; ++i) {
      const float* d = d_scaled_ + i * kTile;
      float* to = d_values_ + i * kTile;
      AddDots(1, 1, d, values_ + i * kTile, d_scales + i * kLanes);
      for (int p = 0; p < kTile; ++p) to[p] = d[p] * weights_.scales[i];
      for (int c = 0; c < channels; ++c) {
        const float weight = weights_.linear[i * channels + c];
        for (int p = 0; p < kTile; ++p) to[p] += weight * g_[c * kTile + p];
      }
      StoreTile(1, to, pixels, at, d_values[i]);
    }
  }

  // The gradient of all tiles so far.
  void Gradient(float* to) const { SumLanes(GradientSize(), lanes_, to); }

  // A gradient in its parts.
  void Unpack(const float* sum, Gradients to) const {
    CopyNext(sum, first_.gradient_size(), to.first + sizes_.features);
    CopyNext(sum, sizes_.features, to.first);
    CopyNext(sum, last_.gradient_size(), to.last);
    CopyNext(sum, sizes_.grids, to.scales);
    CopyNext(sum, sizes_.grids * sizes_.channels, to.linear);
    CopyNext(sum, sizes_.channels, to.bias);
  }

 private:
  void Evaluate(const float* const* values, std::int64_t at) {
    for (int i = 0; i < sizes_.grids; ++i) {
      LoadTile(1, values[i], sizes_.pixels, at, values_ + i * kTile);
      for (int p = 0; p < kTile; ++p)
        scaled_[i * kTile + p] = weights_.scales[i] * values_[i * kTile + p];
    }
    first_.Forward(scaled_, hidden_);
    last_.Forward(hidden_, colors_);
  }

  Sizes sizes_;
  Weights weights_;
  Layer first_, last_;
  float *values_, *scaled_, *d_scaled_, *d_values_, *hidden_, *d_hidden_, *colors_, *g_,
      *lanes_;
};

void Forward(ffi::ThreadPool& pool, Sizes sizes, Weights weights, const float* const* values,
             float* colors) {
  const int chunks = (sizes.pixels + kChunk - 1) / kChunk;
  ParallelFor(pool, chunks, [=](int chunk) {
    Machine machine(sizes, weights);
    const std::int64_t begin = std::int64_t(chunk) * kChunk;
    for (std::int64_t at = begin; at < std::min(begin + kChunk, sizes.pixels); at += kTile)
      machine.Forward(values, at, colors);
  });
}

void Backward(ffi::ThreadPool& pool, Sizes sizes, Weights weights, const float* const* values,
              const float* g, float* const* d_values, Gradients gradients) {
  const int chunks = (sizes.pixels + kChunk - 1) / kChunk;
  const int size = Machine(sizes, weights).GradientSize();
  const std::unique_ptr<float[]> partials(new float[std::size_t(chunks) * size]);
  float* const all = partials.get();
  ParallelFor(pool, chunks, [=](int chunk) {
    Machine machine(sizes, weights);
    const std::int64_t begin = std::int64_t(chunk) * kChunk;
    for (std::int64_t at = begin; at < std::min(begin + kChunk, sizes.pixels); at += kTile)
      machine.Backward(values, g, at, d_values);
    machine.Gradient(all + std::size_t(chunk) * size);
  });
  for (int chunk = 1; chunk < chunks; ++chunk)
    for (int i = 0; i < size; ++i) all[i] += all[std::size_t(chunk) * size + i];
  Machine(sizes, weights).Unpack(all, gradients);
}

// --- what XLA calls ---------------------------------------------------------------------------

using Array = ffi::Buffer<ffi::F32>;
using Result = ffi::ResultBuffer<ffi::F32>;

// The arrays of all grids, of one size.
ffi::ErrorOr<std::vector<const float*>> Pointers(ffi::RemainingArgs values) {
  std::vector<const float*> pointers;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto array = values.get<Array>(i), first = values.get<Array>(0);
    if (!array) return ffi::Unexpected(array.error());
    if (array->element_count() != first->element_count())
      return ffi::Unexpected(ffi::Error::InvalidArgument("grids at other numbers of pixels"));
    pointers.push_back(array->typed_data());
  }
  if (pointers.empty()) return ffi::Unexpected(ffi::Error::InvalidArgument("no grids"));
  return pointers;
}

ffi::ErrorOr<Sizes> Check(ffi::RemainingArgs values, const Array& scales, const Array& first,
                          const Array& last, const Array& linear, const Array& bias) {
  const auto first_dims = first.dimensions();
  const auto wrong = [](const char* what) {
    return ffi::Unexpected(ffi::Error::InvalidArgument(what));
  };
  if (first_dims.size() != 2) return wrong("arrays of other ranks");
  const Sizes sizes{std::int64_t(values.get<Array>(0)->element_count()), int(values.size()),
                    int(first_dims[1]), int(bias.element_count())};
  const std::int64_t grids = sizes.grids, features = sizes.features, channels = sizes.channels;
  if (first_dims[0] != 1 + 2 * kFrequency * grids ||
      std::int64_t(scales.element_count()) != grids ||
      std::int64_t(last.element_count()) != 2 * kFrequency * features * channels ||
      std::int64_t(linear.element_count()) != grids * channels)
    return wrong("the weights do not fit each other");
  return sizes;
}

ffi::Error SynthesisForward(ffi::ThreadPool pool, Array scales, Array first, Array last,
                            Array linear, Array bias, ffi::RemainingArgs values, Result colors) {
  const auto pointers = Pointers(values);
  if (!pointers) return pointers.error();
  const auto sizes = Check(values, scales, first, last, linear, bias);
  if (!sizes) return sizes.error();
  Forward(pool, *sizes,
          {scales.typed_data(), first.typed_data(), last.typed_data(), linear.typed_data(),
           bias.typed_data()},
          pointers->data(), colors->typed_data());
  return ffi::Error::Success();
}

ffi::Error SynthesisBackward(ffi::ThreadPool pool, Array scales, Array first, Array last,
                             Array linear, Array bias, Array g, ffi::RemainingArgs values,
                             Result d_scales, Result d_first, Result d_last, Result d_linear,
                             Result d_bias, ffi::RemainingRets d_values) {
  const auto pointers = Pointers(values);
  if (!pointers) return pointers.error();
  const auto sizes = Check(values, scales, first, last, linear, bias);
  if (!sizes) return sizes.error();
  std::vector<float*> d_pointers;
  for (std::size_t i = 0; i < d_values.size(); ++i) {
    auto array = d_values.get<Array>(i);
    if (!array) return array.error();
    d_pointers.push_back((*array)->typed_data());
  }
  if (d_pointers.size() != pointers->size())
    return ffi::Error::InvalidArgument("not one gradient a grid");
  Backward(pool, *sizes,
           {scales.typed_data(), first.typed_data(), last.typed_data(), linear.typed_data(),
            bias.typed_data()},
           pointers->data(), g.typed_data(), d_pointers.data(),
           {d_scales->typed_data(), d_first->typed_data(), d_last->typed_data(),
            d_linear->typed_data(), d_bias->typed_data()});
  return ffi::Error::Success();
}

}  // namespace
}  // namespace dfm

XLA_FFI_DEFINE_HANDLER_SYMBOL(SynthesisForward, dfm::SynthesisForward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .RemainingArgs()
                                  .Ret<dfm::Array>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(SynthesisBackward, dfm::SynthesisBackward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .RemainingArgs()
                                  .Ret<dfm::Array>()
                                  .Ret<dfm::Array>()
                                  .Ret<dfm::Array>()
                                  .Ret<dfm::Array>()
                                  .Ret<dfm::Array>()
                                  .RemainingRets());
