// The CPU twin of seqvae/ops/gaussian_latent.py.
#include <cmath>
#include <cstdint>

#include "philox.h"
#include "seqvae_native.h"

void seqvae_gaussian_latent_f32(const float* mean, const float* logvar, int64_t n, int64_t d,
                                int64_t mean_stride, int64_t logvar_stride, int64_t samples,
                                float noise_scale, int64_t seed, int64_t offset, float* z,
                                float* kl) {
  seqvae::NormalStream noise(seed, offset);
  for (int64_t s = 0; s < samples; ++s) {
    for (int64_t i = 0; i < n; ++i) {
      const float* mean_row = mean + i * mean_stride;
      const float* logvar_row = logvar + i * logvar_stride;
      float* z_row = z + (s * n + i) * d;
      for (int64_t j = 0; j < d; ++j) {
        const float deviation = std::exp(0.5f * logvar_row[j]) * noise_scale;
        z_row[j] = mean_row[j] + deviation * noise.next();
      }
    }
  }
  for (int64_t i = 0; i < n; ++i) {
    const float* mean_row = mean + i * mean_stride;
    const float* logvar_row = logvar + i * logvar_stride;
    float* kl_row = kl + i * d;
    for (int64_t j = 0; j < d; ++j) {
      // expm1 keeps near-prior dimensions exact, where exp(v) - 1 - v would cancel.
      const float excess = std::expm1(logvar_row[j]) - logvar_row[j];
      kl_row[j] = 0.5f * (mean_row[j] * mean_row[j] + excess);
    }
  }
}

void seqvae_gaussian_latent_backward_f32(const float* mean, const float* logvar, int64_t n,
                                         int64_t d, int64_t mean_stride, int64_t logvar_stride,
                                         int64_t samples, float noise_scale, int64_t seed,
                                         int64_t offset, const float* dz, const float* dkl,
                                         float* dmean, float* dlogvar) {
  for (int64_t i = 0; i < n; ++i) {
    const float* mean_row = mean + i * mean_stride;
    const float* logvar_row = logvar + i * logvar_stride;
    for (int64_t j = 0; j < d; ++j) {
      const int64_t at = i * d + j;
      dmean[at] = dkl[at] * mean_row[j];
      dlogvar[at] = 0.5f * dkl[at] * std::expm1(logvar_row[j]);
    }
  }
  seqvae::NormalStream noise(seed, offset);
  for (int64_t s = 0; s < samples; ++s) {
    for (int64_t i = 0; i < n; ++i) {
      const float* logvar_row = logvar + i * logvar_stride;
      for (int64_t j = 0; j < d; ++j) {
        const int64_t at = i * d + j;
        const float gradient = dz[s * n * d + at];
        const float deviation = std::exp(0.5f * logvar_row[j]) * noise_scale;
        dmean[at] += gradient;
        dlogvar[at] += 0.5f * deviation * gradient * noise.next();
      }
    }
  }
}
