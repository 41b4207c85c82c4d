// A tile: some positions' worth of rows that stay in the cache.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace dfm {

constexpr int kTile = 64;  // positions: the last axis of all arrays
constexpr float kPi = 3.14159265358979f;

// Hands out pieces of one growing buffer, aligned to whole vectors.
class Scratch {
 public:
  float* Take(std::size_t floats) {
    floats = (floats + 15) / 16 * 16;
    if (used_ + floats > size_) return nullptr;
    float* piece = data_ + used_;
    used_ += floats;
    return piece;
  }
  void Reset(std::size_t floats) {
    floats += 64 * 16;  // what rounding up in Take may add
    if (floats > size_) {
      storage_.resize(floats + 16);
      auto address = reinterpret_cast<std::uintptr_t>(storage_.data());
      data_ = storage_.data() + (64 - address % 64) % 64 / sizeof(float);
      size_ = floats;
    }
    used_ = 0;
  }

 private:
  std::vector<float> storage_;
  float* data_ = nullptr;
  std::size_t size_ = 0, used_ = 0;
};

inline Scratch& ThreadScratch() {
  thread_local Scratch scratch;
  return scratch;
}

// sin(pi x) and cos(pi x). The reduction to half a period is exact, also for large x.
// The polynomials are those of trigonometry.py.
inline void SinCosPi(const float* x, float* sin, float* cos) {
  for (int p = 0; p < kTile; ++p) {
    const float nearest = std::nearbyintf(x[p]);
    const float r = x[p] - nearest;
    const float sign = 1 - 2 * (nearest - 2 * std::floor(nearest * 0.5f));
    const float z = r * r;
    float s = -0.00702838646f;
    s = s * z + 0.0820504054f;
    s = s * z - 0.599252224f;
    s = s * z + 2.55016327f;
    s = s * z - 5.16771269f;
    s = s * z + 3.14159274f;
    float c = 0.00184000412f;
    c = c * z - 0.0257763285f;
    c = c * z + 0.235325441f;
    c = c * z - 1.3352623f;
    c = c * z + 4.05871201f;
    c = c * z - 4.93480206f;
    c = c * z + 1.0f;
    sin[p] = sign * r * s;
    cos[p] = sign * c;
  }
}

inline void Rotate(const float* cos, const float* sin, const float* by_cos, const float* by_sin,
                   float* to_cos, float* to_sin) {
  for (int p = 0; p < kTile; ++p) {
    const float c = cos[p] * by_cos[p] - sin[p] * by_sin[p];
    const float s = cos[p] * by_sin[p] + sin[p] * by_cos[p];
    to_cos[p] = c;
    to_sin[p] = s;
  }
}

// Rows of an array [rows, positions], from position `at` on; zeros beyond its end.
inline void LoadTile(int rows, const float* array, std::int64_t positions, std::int64_t at, float* tile) {
  const int count = std::min<std::int64_t>(kTile, positions - at);
  for (int r = 0; r < rows; ++r, tile += kTile) {
    std::copy_n(array + r * positions + at, count, tile);
    std::fill(tile + count, tile + kTile, 0.0f);
  }
}

inline void StoreTile(int rows, const float* tile, std::int64_t positions, std::int64_t at,
                      float* array) {
  const int count = std::min<std::int64_t>(kTile, positions - at);
  for (int r = 0; r < rows; ++r, tile += kTile)
    std::copy_n(tile, count, array + r * positions + at);
}

}  // namespace dfm
