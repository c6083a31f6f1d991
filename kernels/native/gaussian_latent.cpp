// The CPU twin of seqvae/ops/gaussian_latent.py: checks a request, splits its rows over threads, and
// picks the widest vectors.
#include <cstddef>
#include <memory>
#include <new>

#include "gaussian_kernels.h"
#include "threads.h"

namespace seqvae {
namespace {

// A thread takes at least this many elements at a time, 30 us of work: much less would not pay to wake it.
constexpr int64_t kChunk = 1 << 14;
constexpr int64_t kMostChunks = 256;

bool has(int32_t instructions) {
  switch (instructions) {
    case SEQVAE_BEST:
    case SEQVAE_BASELINE:
      return true;
#if defined(SEQVAE_X86_VARIANTS)
    case SEQVAE_AVX2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case SEQVAE_AVX512:
      return has(SEQVAE_AVX2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#endif
    default:
      return false;
  }
}

const GaussianKernels& kernels_for(int32_t instructions) {
#if defined(SEQVAE_X86_VARIANTS)
  static const int32_t best =
      has(SEQVAE_AVX512) ? SEQVAE_AVX512 : (has(SEQVAE_AVX2) ? SEQVAE_AVX2 : SEQVAE_BASELINE);
  switch (instructions == SEQVAE_BEST ? best : instructions) {
    case SEQVAE_AVX512:
      return avx512::gaussian_kernels;
    case SEQVAE_AVX2:
      return avx2::gaussian_kernels;
    default:
      break;
  }
#endif
  (void)instructions;
  return baseline::gaussian_kernels;
}

bool is_valid(const SeqvaeGaussian& request) {
  if (request.rows < 0 || request.dim < 0 || request.samples < 1) return false;
  if (request.rounds != 10 && request.rounds != 7) return false;
  if (!has(request.instructions)) return false;
  if (request.rows == 0 || request.dim == 0) return true;
  if (request.mean == nullptr || request.log_variance == nullptr) return false;
  // Positions in z are int64.
  return request.rows <= INT64_MAX / request.dim &&
         request.samples <= INT64_MAX / (request.rows * request.dim);
}

int64_t rows_that_count(const SeqvaeGaussian& request) {
  if (request.mask == nullptr) return request.rows;
  int64_t count = 0;
  for (int64_t i = 0; i < request.rows; ++i) count += request.mask[i] != 0;
  return count;
}

// How rows are split. It depends on the sizes alone, so that sums do not depend on the threads.
struct Chunks {
  int64_t rows;
  int64_t count;
};

Chunks chunks_of(const SeqvaeGaussian& request) {
  const int64_t together = rows_per_tile(request.dim);
  const int64_t tiles = (request.rows + together - 1) / together;
  const int64_t wanted = request.rows * request.dim * request.samples / kChunk;
  const int64_t most = wanted < 1 ? 1 : (wanted < kMostChunks ? wanted : kMostChunks);
  const int64_t rows = (tiles + most - 1) / most * together;
  return {rows, (request.rows + rows - 1) / rows};
}

struct Work {
  const SeqvaeGaussian& request;
  void (*kernel)(const SeqvaeGaussian&, const GaussianRows&);
  Chunks chunks;
  float dimension_scale;
  double* sums;  // [chunks, dim] or null

  void run() const {
    parallel_for(chunks.count, request.threads, part, this);
  }

  static void part(const void* self, int64_t chunk) {
    const Work& work = *static_cast<const Work*>(self);
    const int64_t begin = chunk * work.chunks.rows, end = begin + work.chunks.rows;
    const int64_t rows = work.request.rows;
    double* sums = work.sums == nullptr ? nullptr : work.sums + chunk * work.request.dim;
    work.kernel(work.request, {begin, end < rows ? end : rows, sums, work.dimension_scale});
  }
};

void forward_of_nothing(const SeqvaeGaussian& request) {
  if (request.kl_rows != nullptr) {
    for (int64_t i = 0; i < request.rows; ++i) {
      const bool counts = request.mask == nullptr || request.mask[i] != 0;
      request.kl_rows[i] = counts && request.free_bits > 0.0f ? request.free_bits : 0.0f;
    }
  }
  if (request.kl_dimensions != nullptr) {
    for (int64_t j = 0; j < request.dim; ++j) request.kl_dimensions[j] = 0.0f;
  }
}

}  // namespace
}  // namespace seqvae

int32_t seqvae_has_instructions(int32_t instructions) { return seqvae::has(instructions); }

int32_t seqvae_gaussian_forward(const SeqvaeGaussian* given) {
  using namespace seqvae;
  if (given == nullptr || given->size != sizeof(SeqvaeGaussian)) return SEQVAE_OTHER_VERSION;
  const SeqvaeGaussian& request = *given;
  if (!is_valid(request)) return SEQVAE_BAD_ARGUMENTS;
  if (request.rows == 0 || request.dim == 0) {
    forward_of_nothing(request);
    return SEQVAE_OK;
  }
  Work work{request, kernels_for(request.instructions).forward, chunks_of(request), 0.0f, nullptr};
  std::unique_ptr<double[]> sums;
  if (request.kl_dimensions != nullptr) {
    sums.reset(new (std::nothrow)
                   double[static_cast<size_t>(work.chunks.count) * static_cast<size_t>(request.dim)]);
    if (sums == nullptr) return SEQVAE_OUT_OF_MEMORY;
    work.sums = sums.get();
  }
  work.run();
  if (request.kl_dimensions != nullptr) {
    const int64_t counted = rows_that_count(request);
    const double divisor = counted > 0 ? static_cast<double>(counted) : 1.0;
    for (int64_t j = 0; j < request.dim; ++j) {
      double sum = 0.0;
      for (int64_t c = 0; c < work.chunks.count; ++c) sum += work.sums[c * request.dim + j];
      request.kl_dimensions[j] = static_cast<float>(sum / divisor);
    }
  }
  return SEQVAE_OK;
}

int32_t seqvae_gaussian_backward(const SeqvaeGaussian* given) {
  using namespace seqvae;
  if (given == nullptr || given->size != sizeof(SeqvaeGaussian)) return SEQVAE_OTHER_VERSION;
  const SeqvaeGaussian& request = *given;
  if (!is_valid(request)) return SEQVAE_BAD_ARGUMENTS;
  if (request.rows == 0 || request.dim == 0) return SEQVAE_OK;
  if (request.d_mean == nullptr || request.d_log_variance == nullptr) return SEQVAE_BAD_ARGUMENTS;
  float scale = 0.0f;
  if (request.d_kl_dimensions != nullptr) {
    const int64_t counted = rows_that_count(request);
    scale = counted > 0 ? static_cast<float>(1.0 / static_cast<double>(counted)) : 0.0f;
  }
  Work{request, kernels_for(request.instructions).backward, chunks_of(request), scale, nullptr}.run();
  return SEQVAE_OK;
}

int32_t seqvae_philox(int64_t seed, int64_t offset, int64_t first, int64_t blocks, int32_t rounds,
                      int32_t instructions, uint32_t* words) {
  if (blocks < 0 || (rounds != 10 && rounds != 7) || !seqvae::has(instructions)) {
    return SEQVAE_BAD_ARGUMENTS;
  }
  seqvae::kernels_for(instructions).philox(seed, offset, first, blocks, rounds, words);
  return SEQVAE_OK;
}
