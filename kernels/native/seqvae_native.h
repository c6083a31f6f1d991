// The C ABI of the native library. Every matrix is row-major float32; strides count elements
// between the starts of two rows. Outputs never overlap inputs or each other.
#pragma once

#include <cstdint>

#if defined(_WIN32)
#define SEQVAE_EXPORT extern "C" __declspec(dllexport)
#else
#define SEQVAE_EXPORT extern "C" __attribute__((visibility("default")))
#endif

// The project's version, a static string.
SEQVAE_EXPORT const char* seqvae_version();

enum SeqvaeStatus : int32_t {
  SEQVAE_OK = 0,
  SEQVAE_BAD_ARGUMENTS = -1,
  SEQVAE_OUT_OF_MEMORY = -2,
  SEQVAE_OTHER_VERSION = -3,  // `size` is not that of this build
};

// Vector widths the kernels are compiled for. All give the same bits.
enum SeqvaeInstructions : int32_t {
  SEQVAE_BEST = 0,
  SEQVAE_BASELINE = 1,
  SEQVAE_AVX2 = 2,
  SEQVAE_AVX512 = 3,
};

// Whether this processor and this build have them.
SEQVAE_EXPORT int32_t seqvae_has_instructions(int32_t instructions);

// A Gaussian latent of `rows` x `dim`; one argument, because ctypes takes 0.1 us for each.
// Pointers may be null where a field says so.
struct SeqvaeGaussian {
  int64_t size;  // sizeof(SeqvaeGaussian)
  int64_t rows;
  int64_t dim;
  int64_t samples;  // z and d_z are [samples, rows, dim], contiguous
  int64_t mean_stride;
  int64_t log_variance_stride;
  int64_t d_mean_stride;
  int64_t d_log_variance_stride;
  int64_t seed;
  int64_t offset;
  const float* mean;          // [rows, dim]
  const float* log_variance;  // [rows, dim]
  const uint8_t* mask;        // [rows], 0 where a row does not count; null: all count
  // Forward, each null where it is not wanted.
  float* z;
  float* kl;             // [rows, dim], contiguous
  float* kl_rows;        // [rows], sums over dimensions
  float* kl_dimensions;  // [dim], means over the rows that count, 0 if none does
  // Backward: gradients of the outputs above, null where there is none.
  const float* d_z;
  const float* d_kl;
  const float* d_kl_rows;
  const float* d_kl_dimensions;
  float* d_mean;          // [rows, dim]
  float* d_log_variance;  // [rows, dim]
  float noise_scale;
  float low;        // the log-variance is clamped to [low, high]; -inf and inf: not at all
  float high;       // its gradient is 0 outside
  float free_bits;  // kl_rows is clamped from below; -inf: not at all
  int32_t rounds;   // of Philox: 10 or 7
  int32_t threads;  // at most this many
  int32_t instructions;
  int32_t unused;
};

// z[s, i, j] = mean[i, j] + noise_scale * exp(logvar[i, j] / 2) * noise(seed, offset, flat index of z)
// kl[i, j] = (exp(logvar[i, j]) - 1 - logvar[i, j] + mean[i, j]^2) / 2, nats
// A row that does not count has z = 0 and kl = 0, whatever its statistics are.
SEQVAE_EXPORT int32_t seqvae_gaussian_forward(const SeqvaeGaussian* request);

// Gradients of the above; free_bits is not applied. The noise is recomputed, not stored.
SEQVAE_EXPORT int32_t seqvae_gaussian_backward(const SeqvaeGaussian* request);

// The words behind the noise, [blocks, 4]: Philox4x32 of counters (first + block, offset) under the key seed.
SEQVAE_EXPORT int32_t seqvae_philox(int64_t seed, int64_t offset, int64_t first, int64_t blocks,
                                    int32_t rounds, int32_t instructions, uint32_t* words);
