// The loops themselves, included by gaussian_kernels_*.cpp with SEQVAE_VARIANT the namespace. Nothing of
// the standard library that could be emitted out of line: the linker would keep one copy for all
// processors.
#pragma once

#include <type_traits>

#include "gaussian_kernels.h"
#include "philox.h"

namespace seqvae {
namespace SEQVAE_VARIANT {
namespace {

using Request = SeqvaeGaussian;

// Row sums are kept in this many parts, element j in part j mod 16, whatever the vector width is.
constexpr int kParts = 16;

// `rows` whole rows, or the columns [column, column + columns) of one.
struct Tile {
  int64_t row;
  int64_t rows;
  int64_t column;
  int64_t columns;
  bool first;  // of its rows
  bool last;

  int64_t count() const { return rows * columns; }
};

// Calls `work` for each tile of the rows, in order.
template <class Work>
void for_each_tile(const Request& request, const GaussianRows& range, Work&& work) {
  const int64_t dim = request.dim;
  const int64_t rows = rows_per_tile(dim);
  const int64_t columns = dim <= kTile ? dim : kTile;
  for (int64_t row = range.begin; row < range.end; row += rows) {
    const int64_t these = row + rows < range.end ? rows : range.end - row;
    for (int64_t column = 0; column < dim; column += columns) {
      const int64_t those = column + columns < dim ? columns : dim - column;
      work(Tile{row, these, column, those, column == 0, column + those == dim});
    }
  }
}

// A tile of a strided matrix as one run of memory: where it is, or copied to `copy`.
const float* gather(const float* matrix, int64_t stride, const Tile& tile, float* copy) {
  const float* from = matrix + tile.row * stride + tile.column;
  if (tile.rows == 1 || stride == tile.columns) return from;
  for (int64_t i = 0; i < tile.rows; ++i) {
    const float* row = from + i * stride;
    float* to = copy + i * tile.columns;
    for (int64_t j = 0; j < tile.columns; ++j) to[j] = row[j];
  }
  return copy;
}

// Where to write a tile of a strided matrix: in place, or to `copy` for `scatter`.
float* place(float* matrix, int64_t stride, const Tile& tile, float* copy) {
  const bool one_run = tile.rows == 1 || stride == tile.columns;
  return one_run ? matrix + tile.row * stride + tile.column : copy;
}

void scatter(const float* copy, float* matrix, int64_t stride, const Tile& tile) {
  float* to = matrix + tile.row * stride + tile.column;
  if (tile.rows == 1 || stride == tile.columns) return;
  for (int64_t i = 0; i < tile.rows; ++i) {
    const float* row = copy + i * tile.columns;
    float* out = to + i * stride;
    for (int64_t j = 0; j < tile.columns; ++j) out[j] = row[j];
  }
}

bool counts(const Request& request, int64_t row) {
  return request.mask == nullptr || request.mask[row] != 0;
}

bool any_counts(const Request& request, const Tile& tile) {
  for (int64_t i = 0; i < tile.rows; ++i) {
    if (counts(request, tile.row + i)) return true;
  }
  return false;
}

// Asks for memory that is used only after noise has been drawn, so that the two overlap; to the
// second-level cache, which is 8 % faster than to the first, whose space the buffers need.
template <class Value>
void prefetch(Value* values, int64_t count) {
#if defined(__GNUC__)
  constexpr int for_writing = std::is_const<Value>::value ? 0 : 1;
  for (int64_t i = 0; i < count; i += 16) __builtin_prefetch(values + i, for_writing, 2);
#else
  (void)values, (void)count;
#endif
}

void fill(float* values, int64_t count, float value) {
  for (int64_t i = 0; i < count; ++i) values[i] = value;
}

// Zeros the masked rows of a tile whose rows are `stride` apart.
void clear_masked(const Request& request, const Tile& tile, float* values, int64_t stride) {
  if (request.mask == nullptr) return;
  for (int64_t i = 0; i < tile.rows; ++i) {
    if (!counts(request, tile.row + i)) fill(values + i * stride, tile.columns, 0.0f);
  }
}

// Flat position in z of a tile of sample s.
int64_t position(const Request& request, const Tile& tile, int64_t s) {
  return (s * request.rows + tile.row) * request.dim + tile.column;
}

void deviations(const Request& request, int64_t count, const float* __restrict log_variance,
                float* __restrict deviation) {
  const Limits limits = limits_of(request.low, request.high);
  const float scale = request.noise_scale;
  for (int64_t i = 0; i < count; ++i) {
    deviation[i] = exponential(log_variance[i], limits).root * scale;
  }
}

void divergences(const Request& request, int64_t count, const float* __restrict mean,
                 const float* __restrict log_variance, float* __restrict kl) {
  const Limits limits = limits_of(request.low, request.high);
  for (int64_t i = 0; i < count; ++i) {
    const float excess = exponential(log_variance[i], limits).excess;
    kl[i] = 0.5f * multiply_add(mean[i], mean[i], excess);
  }
}

void deviations_and_divergences(const Request& request, int64_t count,
                                const float* __restrict mean, const float* __restrict log_variance,
                                float* __restrict deviation, float* __restrict kl) {
  const Limits limits = limits_of(request.low, request.high);
  const float scale = request.noise_scale;
  for (int64_t i = 0; i < count; ++i) {
    const Exponential e = exponential(log_variance[i], limits);
    deviation[i] = e.root * scale;
    kl[i] = 0.5f * multiply_add(mean[i], mean[i], e.excess);
  }
}

void shift_and_scale(int64_t count, const float* __restrict mean, const float* __restrict deviation,
                     const float* __restrict noise, float* __restrict z) {
  for (int64_t i = 0; i < count; ++i) z[i] = multiply_add(deviation[i], noise[i], mean[i]);
}

// The sum of a row that may come in several pieces, in float64. Element j is added to part j mod 16
// whatever the vector width is; pieces but the last are whole multiples of 16.
struct RowSum {
  double parts[kParts] = {};

  void add(const float* row, int64_t count) {
    double sums[kParts];
    for (int l = 0; l < kParts; ++l) sums[l] = parts[l];
    int64_t j = 0;
    for (; j + kParts <= count; j += kParts) {
      for (int l = 0; l < kParts; ++l) sums[l] += static_cast<double>(row[j + l]);
    }
    for (int l = 0; l < kParts; ++l) parts[l] = sums[l];
    for (int64_t l = 0; l < count - j; ++l) parts[l] += static_cast<double>(row[j + l]);
  }

  float total() const {
    double eight[8], four[4];
    for (int l = 0; l < 8; ++l) eight[l] = parts[l] + parts[l + 8];
    for (int l = 0; l < 4; ++l) four[l] = eight[l] + eight[l + 4];
    return static_cast<float>((four[0] + four[2]) + (four[1] + four[3]));
  }
};

// `sum` holds what came before of a row that is longer than a tile.
void sum_rows(const Request& request, const Tile& tile, const float* kl, RowSum& sum) {
  for (int64_t i = 0; i < tile.rows; ++i) {
    if (tile.first) sum = RowSum{};
    sum.add(kl + i * tile.columns, tile.columns);
    if (!tile.last) continue;
    const int64_t row = tile.row + i;
    const float total = sum.total();
    const float bounded = total < request.free_bits ? request.free_bits : total;
    request.kl_rows[row] = counts(request, row) ? bounded : 0.0f;
  }
}

void add_dimensions(const Tile& tile, const float* kl, double* sums) {
  for (int64_t i = 0; i < tile.rows; ++i) {
    const float* row = kl + i * tile.columns;
    double* to = sums + tile.column;
    for (int64_t j = 0; j < tile.columns; ++j) to[j] += static_cast<double>(row[j]);
  }
}

template <int Rounds>
void forward_rows(const Request& request, const GaussianRows& range) {
  alignas(64) float mean_copy[kTile], log_variance_copy[kTile], deviation[kTile], kl_copy[kTile];
  NormalTile<kTile> normals;
  RowSum row_sum;
  const Stream stream = stream_of(request.seed, request.offset);
  const bool wants_kl =
      request.kl != nullptr || request.kl_rows != nullptr || range.kl_dimensions != nullptr;
  if (range.kl_dimensions != nullptr) {
    for (int64_t j = 0; j < request.dim; ++j) range.kl_dimensions[j] = 0.0;
  }
  for_each_tile(request, range, [&](const Tile& tile) {
    const int64_t count = tile.count();
    float* kl = request.kl == nullptr ? kl_copy : request.kl + position(request, tile, 0);
    const bool computed = any_counts(request, tile);
    const float* mean = gather(request.mean, request.mean_stride, tile, mean_copy);
    const float* log_variance =
        gather(request.log_variance, request.log_variance_stride, tile, log_variance_copy);
    if (computed && request.z == nullptr) divergences(request, count, mean, log_variance, kl);
    for (int64_t s = 0; request.z != nullptr && s < request.samples; ++s) {
      const int64_t start = position(request, tile, s);
      float* z = request.z + start;
      if (computed) {
        prefetch(z, count);
        if (s == 0) {
          prefetch(mean, count);
          prefetch(log_variance, count);
        }
        const float* noise =
            normals.template draw<Rounds>(stream, static_cast<uint64_t>(start), count);
        if (s == 0 && wants_kl) {
          deviations_and_divergences(request, count, mean, log_variance, deviation, kl);
        } else if (s == 0) {
          deviations(request, count, log_variance, deviation);
        }
        shift_and_scale(count, mean, deviation, noise, z);
      }
      clear_masked(request, tile, z, tile.columns);
    }
    if (wants_kl) {
      clear_masked(request, tile, kl, tile.columns);
      if (request.kl_rows != nullptr) sum_rows(request, tile, kl, row_sum);
      if (range.kl_dimensions != nullptr) add_dimensions(tile, kl, range.kl_dimensions);
    }
  });
}

void add_gradients(int64_t count, const float* __restrict d_z, const float* __restrict noise,
                   float* __restrict d_z_sum, float* __restrict d_noise_sum) {
  for (int64_t i = 0; i < count; ++i) {
    d_z_sum[i] += d_z[i];
    d_noise_sum[i] = multiply_add(d_z[i], noise[i], d_noise_sum[i]);
  }
}

void first_gradients(int64_t count, const float* __restrict d_z, const float* __restrict noise,
                     float* __restrict d_z_sum, float* __restrict d_noise_sum) {
  for (int64_t i = 0; i < count; ++i) {
    d_z_sum[i] = d_z[i];
    d_noise_sum[i] = d_z[i] * noise[i];
  }
}

// The gradient of every element's KL: those of the three outputs added up. Null if there is none.
const float* kl_gradients(const Request& request, const Tile& tile, float scale, float* copy) {
  if (request.d_kl_rows == nullptr && request.d_kl_dimensions == nullptr) {
    return request.d_kl == nullptr ? nullptr : request.d_kl + position(request, tile, 0);
  }
  for (int64_t i = 0; i < tile.rows; ++i) {
    float* to = copy + i * tile.columns;
    const float of_row = request.d_kl_rows == nullptr ? 0.0f : request.d_kl_rows[tile.row + i];
    if (request.d_kl_dimensions == nullptr) {
      fill(to, tile.columns, of_row);
    } else {
      const float* dimensions = request.d_kl_dimensions + tile.column;
      for (int64_t j = 0; j < tile.columns; ++j) to[j] = multiply_add(dimensions[j], scale, of_row);
    }
  }
  if (request.d_kl != nullptr) {
    const float* each = request.d_kl + position(request, tile, 0);
    for (int64_t i = 0; i < tile.count(); ++i) copy[i] += each[i];
  }
  return copy;
}

struct Inputs {
  const float* mean;
  const float* log_variance;
  const float* d_z;      // sums over samples, or null
  const float* d_noise;  // sums over samples of d_z * noise, or null
  const float* d_kl;     // or null
};

template <bool WithZ, bool WithKl>
void statistics_gradients(const Request& request, int64_t count, const float* __restrict mean,
                          const float* __restrict log_variance, const float* __restrict d_z,
                          const float* __restrict d_noise, const float* __restrict d_kl,
                          float* __restrict d_mean, float* __restrict d_log_variance) {
  const Limits limits = limits_of(request.low, request.high);
  const float low = request.low, high = request.high, scale = 0.5f * request.noise_scale;
  // The rule of torch.clamp: the borders pass, NaN does not; without a clamp everything does.
  const bool unclamped = !(low > -HUGE_VALF) && !(high < HUGE_VALF);
  for (int64_t i = 0; i < count; ++i) {
    const float value = log_variance[i];
    const Exponential e = exponential(value, limits);
    float of_mean = 0.0f, of_log_variance = 0.0f;
    if constexpr (WithZ) {
      of_mean = d_z[i];
      of_log_variance = scale * e.root * d_noise[i];
    }
    if constexpr (WithKl) {
      of_mean = multiply_add(d_kl[i], mean[i], of_mean);
      of_log_variance = multiply_add(0.5f * d_kl[i], e.expm1, of_log_variance);
    }
    d_mean[i] = of_mean;
    const bool passes = ((value >= low) & (value <= high)) | unclamped;
    d_log_variance[i] = passes ? of_log_variance : 0.0f;
  }
}

void statistics_gradients(const Request& request, int64_t count, const Inputs& in, float* d_mean,
                          float* d_log_variance) {
  const auto with = [&](auto&& gradients) {
    gradients(request, count, in.mean, in.log_variance, in.d_z, in.d_noise, in.d_kl, d_mean,
              d_log_variance);
  };
  if (in.d_z != nullptr && in.d_kl != nullptr) {
    with(statistics_gradients<true, true>);
  } else if (in.d_z != nullptr) {
    with(statistics_gradients<true, false>);
  } else if (in.d_kl != nullptr) {
    with(statistics_gradients<false, true>);
  } else {
    fill(d_mean, count, 0.0f);
    fill(d_log_variance, count, 0.0f);
  }
}

template <int Rounds>
void backward_rows(const Request& request, const GaussianRows& range) {
  alignas(64) float mean_copy[kTile], log_variance_copy[kTile], d_kl_copy[kTile];
  alignas(64) float d_z_sum[kTile], d_noise_sum[kTile];
  alignas(64) float d_mean_copy[kTile], d_log_variance_copy[kTile];
  NormalTile<kTile> normals;
  const Stream stream = stream_of(request.seed, request.offset);
  for_each_tile(request, range, [&](const Tile& tile) {
    const int64_t count = tile.count();
    float* d_mean = place(request.d_mean, request.d_mean_stride, tile, d_mean_copy);
    float* d_log_variance =
        place(request.d_log_variance, request.d_log_variance_stride, tile, d_log_variance_copy);
    if (any_counts(request, tile)) {
      Inputs in{};
      in.mean = gather(request.mean, request.mean_stride, tile, mean_copy);
      in.log_variance =
          gather(request.log_variance, request.log_variance_stride, tile, log_variance_copy);
      in.d_kl = kl_gradients(request, tile, range.dimension_scale, d_kl_copy);
      if (request.d_z != nullptr) {
        in.d_z = d_z_sum;
        in.d_noise = d_noise_sum;
        for (int64_t s = 0; s < request.samples; ++s) {
          const int64_t start = position(request, tile, s);
          prefetch(request.d_z + start, count);
          if (s == 0) {
            prefetch(in.mean, count);
            prefetch(in.log_variance, count);
            prefetch(d_mean, count);
            prefetch(d_log_variance, count);
          }
          const float* noise =
              normals.template draw<Rounds>(stream, static_cast<uint64_t>(start), count);
          const auto add = s == 0 ? first_gradients : add_gradients;
          add(count, request.d_z + start, noise, d_z_sum, d_noise_sum);
        }
      }
      statistics_gradients(request, count, in, d_mean, d_log_variance);
    }
    clear_masked(request, tile, d_mean, tile.columns);
    clear_masked(request, tile, d_log_variance, tile.columns);
    scatter(d_mean, request.d_mean, request.d_mean_stride, tile);
    scatter(d_log_variance, request.d_log_variance, request.d_log_variance_stride, tile);
  });
}

void forward(const Request& request, const GaussianRows& range) {
  (request.rounds == 7 ? forward_rows<7> : forward_rows<10>)(request, range);
}

void backward(const Request& request, const GaussianRows& range) {
  (request.rounds == 7 ? backward_rows<7> : backward_rows<10>)(request, range);
}

void philox(int64_t seed, int64_t offset, int64_t first, int64_t blocks, int32_t rounds,
            uint32_t* words) {
  const Stream stream = stream_of(seed, offset);
  alignas(64) uint32_t group[4][kGroup];
  for (int64_t at = 0; at < blocks; at += kGroup) {
    const auto compute = rounds == 7 ? philox_blocks<7, kGroup> : philox_blocks<10, kGroup>;
    compute(stream, static_cast<uint64_t>(first) + static_cast<uint64_t>(at), kGroup, group);
    const int64_t valid = blocks - at < kGroup ? blocks - at : kGroup;
    for (int64_t b = 0; b < valid; ++b) {
      for (int l = 0; l < 4; ++l) words[4 * (at + b) + l] = group[l][b];
    }
  }
}

}  // namespace

const GaussianKernels gaussian_kernels = {forward, backward, philox};

}  // namespace SEQVAE_VARIANT
}  // namespace seqvae
