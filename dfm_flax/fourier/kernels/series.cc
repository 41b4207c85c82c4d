// Fourier series at many positions, value and gradient, on a CPU: the functions that
// dfm_flax/fourier/native.py hands to XLA.
//
// A layer is a small matrix times a basis of functions of the position. The work goes tile by
// tile: the basis of a tile is made, multiplied and differentiated while it is in the cache, and
// never reaches memory. Arrays have positions last.
//
// A basis (TensorProducts, Harmonics) comes in `pieces()` of `piece_rows()` functions each:
//   Evaluate(x)               prepares them for a tile
//   Piece(i)                  the values of the functions of a piece [piece_rows, kTile]
//   Combine(n, z, y)          the outputs y [n, kTile] from z = transposed matrix * basis
//   Spread(n, g, d_z)         the gradient in z from the gradient g in y
//   PullBackPiece(i, d_piece) takes the gradient in the functions of a piece
//   PullBack(n, z, g, d_x)    the gradient in x, after all pieces

#include <algorithm>
#include <cstdint>
#include <memory>

#include "coefficients.h"
#include "harmonics.h"
#include "matmul.h"
#include "parallel.h"
#include "supported.h"
#include "tensor_products.h"
#include "tile.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace dfm {
namespace {

// Positions whose share of the matrix's gradient is summed before it is added to the others'.
// Fixed, so that results do not depend on the number of threads.
constexpr int kChunk = 1024;

// Sizes of a call: x [machines.., m, positions], matrix [machines.., basis rows, columns], of
// whose transpose a basis makes z.
struct Sizes {
  std::int64_t machines = 1, positions;
  int m, n;
};

template <class Basis>
void Forward(ffi::ThreadPool& pool, Sizes sizes, int frequency, const float* x,
             const float* matrix, float* y, float* z) {
  const auto [machines, positions, m, n] = sizes;
  const int chunks = (positions + kChunk - 1) / kChunk;
  const int columns = Basis::Columns(n);
  ParallelFor(pool, machines * chunks, [=](int task) {
    const std::int64_t machine = task / chunks, begin = std::int64_t(task % chunks) * kChunk;
    Basis basis(m, frequency);
    const int piece_rows = basis.piece_rows(), basis_rows = basis.pieces() * piece_rows;
    Scratch& scratch = ThreadScratch();
    scratch.Reset(basis.ScratchFloats() + kTile * (m + n + columns));
    basis.Take(scratch);
    float* tile_x = scratch.Take(kTile * m);
    float* tile_y = scratch.Take(kTile * n);
    float* tile_z = scratch.Take(kTile * columns);
    const float* x_here = x + machine * m * positions;
    const float* matrix_here = matrix + machine * columns * basis_rows;
    for (std::int64_t at = begin; at < std::min(begin + kChunk, positions); at += kTile) {
      LoadTile(m, x_here, positions, at, tile_x);
      basis.Evaluate(tile_x);
      for (int i = 0; i < basis.pieces(); ++i)
        Multiply(columns, kTile, piece_rows, {matrix_here + i * piece_rows * columns, 1, columns},
                 basis.Piece(i), kTile, tile_z, kTile, i > 0);
      basis.Combine(n, tile_z, tile_y);
      StoreTile(n, tile_y, positions, at, y + machine * n * positions);
      if (z) StoreTile(columns, tile_z, positions, at, z + machine * columns * positions);
    }
  });
}

template <class Basis>
void Backward(ffi::ThreadPool& pool, Sizes sizes, int frequency, const float* x,
              const float* matrix, const float* z, const float* g, float* d_x, float* d_matrix) {
  const auto [machines, positions, m, n] = sizes;
  const int chunks = (positions + kChunk - 1) / kChunk;
  const int columns = Basis::Columns(n), padded = RoundUp(columns, kLanes);
  const int piece_rows = Basis(m, frequency).piece_rows();
  const int basis_rows = Basis(m, frequency).pieces() * piece_rows;
  const std::size_t partial_size = std::size_t(basis_rows) * padded;
  const std::unique_ptr<float[]> partials(new float[machines * chunks * partial_size]);
  float* const all_partials = partials.get();
  ParallelFor(pool, machines * chunks, [=](int task) {
    const std::int64_t machine = task / chunks, begin = std::int64_t(task % chunks) * kChunk;
    Basis basis(m, frequency);
    Scratch& scratch = ThreadScratch();
    scratch.Reset(basis.ScratchFloats() +
                  kTile * (2 * m + n + 2 * columns + padded + piece_rows));
    basis.Take(scratch);
    float* tile_x = scratch.Take(kTile * m);
    float* tile_d_x = scratch.Take(kTile * m);
    float* tile_g = scratch.Take(kTile * n);
    float* tile_z = scratch.Take(kTile * columns);
    float* tile_d_z = scratch.Take(kTile * columns);
    float* transposed = scratch.Take(kTile * padded);
    float* d_piece = scratch.Take(kTile * piece_rows);
    std::fill_n(transposed, kTile * padded, 0.0f);
    const float* matrix_here = matrix + machine * columns * basis_rows;
    float* partial = all_partials + task * partial_size;
    for (std::int64_t position = begin; position < std::min(begin + kChunk, positions);
         position += kTile) {
      LoadTile(m, x + machine * m * positions, positions, position, tile_x);
      LoadTile(n, g + machine * n * positions, positions, position, tile_g);
      if (z) LoadTile(columns, z + machine * columns * positions, positions, position, tile_z);
      basis.Evaluate(tile_x);
      basis.Spread(n, tile_g, tile_d_z);
      for (int p = 0; p < kTile; ++p)
        for (int j = 0; j < columns; ++j) transposed[p * padded + j] = tile_d_z[j * kTile + p];
      for (int i = 0; i < basis.pieces(); ++i) {
        const int at = i * piece_rows;
        Multiply(piece_rows, padded, kTile, {basis.Piece(i), kTile, 1}, transposed, padded,
                 partial + at * padded, padded, position > begin);
        Multiply(piece_rows, kTile, columns, {matrix_here + at * columns, columns, 1}, tile_d_z,
                 kTile, d_piece, kTile, false);
        basis.PullBackPiece(i, d_piece);
      }
      basis.PullBack(n, tile_z, tile_g, tile_d_x);
      StoreTile(m, tile_d_x, positions, position, d_x + machine * m * positions);
    }
  });
  ParallelFor(pool, machines, [=](int machine) {
    const float* first = all_partials + machine * chunks * partial_size;
    float* to = d_matrix + std::int64_t(machine) * columns * basis_rows;
    for (int q = 0; q < basis_rows; ++q, first += padded, to += columns)
      for (int j = 0; j < columns; ++j) {
        float sum = 0;
        for (int chunk = 0; chunk < chunks; ++chunk) sum += first[chunk * partial_size + j];
        to[j] = sum;
      }
  });
}

// --- what XLA calls ---------------------------------------------------------------------------

using Array = ffi::Buffer<ffi::F32>;
using Result = ffi::ResultBuffer<ffi::F32>;

// The change of basis of each machine: coefficients [machines.., 2 rows - 1, n] and matrix
// [machines.., rows, 2n], for a series of `coordinates`.
template <bool kBackward>
ffi::Error Change(ffi::ThreadPool pool, Array from, Result to, std::int64_t coordinates,
                  std::int64_t frequency) {
  const auto from_dims = from.dimensions(), to_dims = to->dimensions();
  const auto matrix_dims = kBackward ? from_dims : to_dims;
  if (from_dims.size() < 2 || from_dims.size() != to_dims.size())
    return ffi::Error::InvalidArgument("coefficients and matrix differ in rank");
  const std::int64_t n = matrix_dims.back() / 2;
  const std::int64_t from_size = from_dims[from_dims.size() - 2] * from_dims.back();
  const std::int64_t to_size = to_dims[to_dims.size() - 2] * to_dims.back();
  const int machines = from_size ? from.element_count() / from_size : 0;
  ParallelFor(pool, machines, [=, data = from.typed_data(), result = to->typed_data()](int i) {
    ChangeOfBasis change(coordinates, frequency, n);
    if constexpr (kBackward)
      change.Backward(data + i * from_size, result + i * to_size);
    else
      change.Forward(data + i * from_size, result + i * to_size);
  });
  return ffi::Error::Success();
}

template <class Basis>
ffi::ErrorOr<Sizes> Check(const Array& x, const Array& matrix, std::int64_t frequency) {
  const auto x_dims = x.dimensions(), dims = matrix.dimensions();
  if (x_dims.size() < 2 || dims.size() != x_dims.size())
    return ffi::Unexpected(ffi::Error::InvalidArgument("x and the matrix differ in rank"));
  Sizes sizes;
  for (std::size_t i = 0; i + 2 < dims.size(); ++i) {
    if (dims[i] != x_dims[i])
      return ffi::Unexpected(ffi::Error::InvalidArgument("x and the matrix differ in machines"));
    sizes.machines *= dims[i];
  }
  sizes.m = x_dims[x_dims.size() - 2];
  sizes.positions = x_dims[x_dims.size() - 1];
  sizes.n = dims.back() / Basis::Columns(1);
  const Basis basis(sizes.m, frequency);
  if (dims[dims.size() - 2] != basis.pieces() * basis.piece_rows())
    return ffi::Unexpected(ffi::Error::InvalidArgument("the matrix does not fit the basis"));
  return sizes;
}

ffi::Error SeriesForward(ffi::ThreadPool pool, Array x, Array matrix, Result y, Result z,
                         std::int64_t frequency) {
  const auto sizes = Check<TensorProducts>(x, matrix, frequency);
  if (!sizes) return sizes.error();
  Forward<TensorProducts>(pool, *sizes, frequency, x.typed_data(), matrix.typed_data(),
                          y->typed_data(), z->typed_data());
  return ffi::Error::Success();
}

ffi::Error SeriesBackward(ffi::ThreadPool pool, Array x, Array matrix, Array z, Array g,
                          Result d_x, Result d_matrix, std::int64_t frequency) {
  const auto sizes = Check<TensorProducts>(x, matrix, frequency);
  if (!sizes) return sizes.error();
  Backward<TensorProducts>(pool, *sizes, frequency, x.typed_data(), matrix.typed_data(),
                           z.typed_data(), g.typed_data(), d_x->typed_data(),
                           d_matrix->typed_data());
  return ffi::Error::Success();
}

ffi::Error AdditiveForward(ffi::ThreadPool pool, Array x, Array matrix, Result y,
                           std::int64_t frequency) {
  const auto sizes = Check<Harmonics>(x, matrix, frequency);
  if (!sizes) return sizes.error();
  Forward<Harmonics>(pool, *sizes, frequency, x.typed_data(), matrix.typed_data(),
                     y->typed_data(), nullptr);
  return ffi::Error::Success();
}

ffi::Error AdditiveBackward(ffi::ThreadPool pool, Array x, Array matrix, Array g, Result d_x,
                            Result d_matrix, std::int64_t frequency) {
  const auto sizes = Check<Harmonics>(x, matrix, frequency);
  if (!sizes) return sizes.error();
  Backward<Harmonics>(pool, *sizes, frequency, x.typed_data(), matrix.typed_data(), nullptr,
                      g.typed_data(), d_x->typed_data(), d_matrix->typed_data());
  return ffi::Error::Success();
}

}  // namespace
}  // namespace dfm

XLA_FFI_DEFINE_HANDLER_SYMBOL(MatrixForward, dfm::Change<false>,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<dfm::Array>()
                                  .Ret<dfm::Array>()
                                  .Attr<std::int64_t>("coordinates")
                                  .Attr<std::int64_t>("frequency"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(MatrixBackward, dfm::Change<true>,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<dfm::Array>()
                                  .Ret<dfm::Array>()
                                  .Attr<std::int64_t>("coordinates")
                                  .Attr<std::int64_t>("frequency"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(SeriesForward, dfm::SeriesForward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .Ret<dfm::Array>()
                                  .Ret<dfm::Array>()
                                  .Attr<std::int64_t>("frequency"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(SeriesBackward, dfm::SeriesBackward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .Ret<dfm::Array>()
                                  .Ret<dfm::Array>()
                                  .Attr<std::int64_t>("frequency"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(AdditiveForward, dfm::AdditiveForward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .Ret<dfm::Array>()
                                  .Attr<std::int64_t>("frequency"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(AdditiveBackward, dfm::AdditiveBackward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .Arg<dfm::Array>()
                                  .Ret<dfm::Array>()
                                  .Ret<dfm::Array>()
                                  .Attr<std::int64_t>("frequency"));
