// The loops of the Gaussian latent, compiled once for each vector width.
#pragma once

#include "seqvae_native.h"

namespace seqvae {

// What the rows [begin, end) need beside the request.
struct GaussianRows {
  int64_t begin;
  int64_t end;
  double* kl_dimensions;  // [dim], sums over these rows are written here; null if not wanted
  float dimension_scale;  // 1 / number of rows that count, for d_kl_dimensions
};

struct GaussianKernels {
  void (*forward)(const SeqvaeGaussian&, const GaussianRows&);
  void (*backward)(const SeqvaeGaussian&, const GaussianRows&);
  void (*philox)(int64_t seed, int64_t offset, int64_t first, int64_t blocks, int32_t rounds,
                 uint32_t* words);
};

// Elements that are computed at a time; their buffers stay in the first-level cache. A tile is
// several whole rows, or a part of a long one.
constexpr int64_t kTile = 512;

// Rows of a tile; where possible so many that vectors of 16 fill it.
static inline int64_t rows_per_tile(int64_t dim) {
  const int64_t most = dim <= kTile ? kTile / dim : 1;
  for (int64_t rows = most; 2 * rows > most; --rows) {
    if (rows * dim % 16 == 0) return rows;
  }
  return most;
}

namespace baseline {
extern const GaussianKernels gaussian_kernels;
}
namespace avx2 {
extern const GaussianKernels gaussian_kernels;
}
namespace avx512 {
extern const GaussianKernels gaussian_kernels;
}

}  // namespace seqvae
