// The context model: neighbors to the table of a Laplace distribution. context_model.py says how.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace dfm {

constexpr int kMaxNeighbors = 14;
constexpr int kMaxFeatures = 64;
constexpr int kWidths = 40;
constexpr int kLargest = 32767;
constexpr int kPhases = 4096;

// All weights in units of 2^-14, of magnitudes up to 2^20: no sum here leaves 64 bits.
struct Model {
  int neighbors, features;  // C, H
  const int32_t* scales;    // [C]
  const int32_t* first;     // [1 + 2C, H]
  const int32_t* last;      // [2H, 2]
  const int32_t* linear;    // [C, 2]
  const int32_t* levels;    // [L, 2]
  const int32_t* fineness;  // [L]
  const int32_t* cosines;   // [4096]
};

struct Prediction {
  int32_t whole;  // the integer next to the mean
  int32_t row;    // of the tables
};

inline int64_t Floor(int64_t value, int bits) {
  return value >= 0 ? value >> bits : ~(~value >> bits);
}

class Predictor {
 public:
  Predictor(const Model& model, int level)
      : model_(model), levels_(model.levels + 2 * level), fineness_(model.fineness[level]) {
    last_.fill(0);
    prediction_ = Evaluate(last_.data());
  }

  // Most contexts are that before, all zeros: its prediction is kept.
  Prediction operator()(const int32_t* context) {
    const size_t bytes = model_.neighbors * sizeof(int32_t);
    if (std::memcmp(context, last_.data(), bytes) != 0) {
      std::memcpy(last_.data(), context, bytes);
      prediction_ = Evaluate(context);
    }
    return prediction_;
  }

 private:
  Prediction Evaluate(const int32_t* context) const {
    const int c = model_.neighbors, h = model_.features;
    int64_t sums[kMaxFeatures];
    for (int j = 0; j < h; ++j) sums[j] = int64_t{model_.first[j]} * 16384;
    int64_t straight[2] = {0, 0};
    for (int i = 0; i < c; ++i) {
      const int64_t turns = int64_t{context[i]} * model_.scales[i];
      const uint64_t phase = static_cast<uint64_t>(turns) >> (2 + fineness_);
      const int64_t cos = Cos(phase), sin = Sin(phase);
      const int32_t* of_cos = model_.first + (1 + i) * h;
      const int32_t* of_sin = of_cos + c * h;
      for (int j = 0; j < h; ++j) sums[j] += cos * of_cos[j] + sin * of_sin[j];
      for (int k = 0; k < 2; ++k) straight[k] += int64_t{context[i]} * model_.linear[2 * i + k];
    }
    int64_t out[2] = {int64_t{levels_[0]} * 16384, int64_t{levels_[1]} * 16384};
    for (int j = 0; j < h; ++j) {
      const uint64_t phase = static_cast<uint64_t>(sums[j]) >> 16;
      const int64_t cos = Cos(phase), sin = Sin(phase);
      for (int k = 0; k < 2; ++k) {
        out[k] += cos * model_.last[2 * j + k] + sin * model_.last[2 * (h + j) + k];
      }
    }
    out[0] = out[0] * (1 << fineness_) + straight[0] * 16384;
    out[1] += straight[1] * (16384 >> fineness_) + (int64_t{fineness_} << 28);
    const int64_t limit = 16 * kLargest;
    const int64_t mean = std::clamp(Floor(out[0] + (1 << 23), 24), -limit, limit);
    const int64_t code =
        std::clamp<int64_t>(Floor(out[1] + (1 << 24), 25), -kWidths, kWidths);
    const int64_t whole = Floor(mean + 8, 4);
    return {static_cast<int32_t>(whole),
            static_cast<int32_t>((code + kWidths) * 16 + mean - 16 * whole + 8)};
  }

  // The lowest 12 bits of a phase are those of the rounded-down one, also where it is negative.
  int64_t Cos(uint64_t phase) const { return model_.cosines[phase % kPhases]; }
  int64_t Sin(uint64_t phase) const { return Cos(phase - kPhases / 4); }

  const Model& model_;
  const int32_t* levels_;
  int fineness_;
  std::array<int32_t, kMaxNeighbors> last_;
  Prediction prediction_;
};

}  // namespace dfm
