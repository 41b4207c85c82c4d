// Small dense products whose operands lie in the cache.
#pragma once

#include <cstddef>
#include <cstring>

namespace dfm {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
constexpr int kMaxVectors = 4;  // 32 registers: 6 x 4 sums, 4 of B, 1 of A
#elif defined(__AVX__)
constexpr int kLanes = 8;
constexpr int kMaxVectors = 2;  // 16 registers: 6 x 2 sums, 2 of B, 1 of A
#else
constexpr int kLanes = 4;
constexpr int kMaxVectors = 4;
#endif

typedef float Vector __attribute__((vector_size(kLanes * sizeof(float))));

inline Vector Load(const float* p) {
  Vector v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

inline void Store(float* p, Vector v) { std::memcpy(p, &v, sizeof v); }

constexpr int RoundUp(int count, int unit) { return (count + unit - 1) / unit * unit; }

// A matrix by its strides, in floats.
struct Matrix {
  const float* data;
  std::ptrdiff_t row_stride, column_stride;
};

// ROWS rows and VECTORS * kLanes columns of C (+)= A B, with the sums in registers.
template <int ROWS, int VECTORS>
inline void Block(int depth, Matrix a, const float* b, int b_stride, float* c, int c_stride,
                  bool accumulate) {
  Vector sum[ROWS][VECTORS];
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v)
      sum[r][v] = accumulate ? Load(c + r * c_stride + v * kLanes) : Vector{};
  for (int k = 0; k < depth; ++k) {
    Vector row[VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) row[v] = Load(b + k * b_stride + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) {
      const float scalar = a.data[r * a.row_stride + k * a.column_stride];
#pragma GCC unroll 4
      for (int v = 0; v < VECTORS; ++v) sum[r][v] += scalar * row[v];
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) Store(c + r * c_stride + v * kLanes, sum[r][v]);
}

// As many blocks of ROWS rows as fit, then smaller ones; returns nothing left to do.
template <int ROWS, int VECTORS>
inline void Rows(int rows, int depth, Matrix a, const float* b, int b_stride, float* c,
                 int c_stride, bool accumulate) {
  for (; rows >= ROWS; rows -= ROWS) {
    Block<ROWS, VECTORS>(depth, a, b, b_stride, c, c_stride, accumulate);
    a.data += ROWS * a.row_stride;
    c += ROWS * c_stride;
  }
  if constexpr (ROWS > 1) {
    constexpr int kSmaller = ROWS > 6 ? 6 : ROWS > 4 ? 4 : ROWS - 1;
    Rows<kSmaller, VECTORS>(rows, depth, a, b, b_stride, c, c_stride, accumulate);
  }
}

// C[rows, columns] = A[rows, depth] B[depth, columns], added to C if `accumulate`.
// B and C are row-major; `columns` is a multiple of kLanes.
inline void Multiply(int rows, int columns, int depth, Matrix a, const float* b, int b_stride,
                     float* c, int c_stride, bool accumulate) {
  int vectors = columns / kLanes;
  const auto columns_done = [&](int count) {
    b += count * kLanes;
    c += count * kLanes;
    vectors -= count;
  };
  if constexpr (kMaxVectors == 4) {
    while (vectors >= 4) {
      Rows<6, 4>(rows, depth, a, b, b_stride, c, c_stride, accumulate);
      columns_done(4);
    }
  }
  while (vectors >= 2) {
    Rows<kMaxVectors == 4 ? 12 : 6, 2>(rows, depth, a, b, b_stride, c, c_stride, accumulate);
    columns_done(2);
  }
  if (vectors) Rows<12, 1>(rows, depth, a, b, b_stride, c, c_stride, accumulate);
}

}  // namespace dfm
