// The C ABI of the native library. Every matrix is row-major float32; strides count elements
// between the starts of two rows. Outputs are contiguous and never overlap inputs.
#pragma once

#include <cstdint>

#if defined(_WIN32)
#define SEQVAE_EXPORT extern "C" __declspec(dllexport)
#else
#define SEQVAE_EXPORT extern "C" __attribute__((visibility("default")))
#endif

// The project's version, a static string.
SEQVAE_EXPORT const char* seqvae_version();

// z[s, i, j] = mean[i, j] + noise_scale * exp(logvar[i, j] / 2) * noise(seed, offset, flat index of z)
// kl[i, j] = (exp(logvar[i, j]) - 1 - logvar[i, j] + mean[i, j]^2) / 2, nats
// z is [samples, n, d], kl is [n, d].
SEQVAE_EXPORT void seqvae_gaussian_latent_f32(const float* mean, const float* logvar, int64_t n,
                                              int64_t d, int64_t mean_stride, int64_t logvar_stride,
                                              int64_t samples, float noise_scale, int64_t seed,
                                              int64_t offset, float* z, float* kl);

// Gradients of the above: dz is [samples, n, d] and dkl [n, d], both contiguous; dmean and dlogvar
// are [n, d]. The noise is recomputed, not stored.
SEQVAE_EXPORT void seqvae_gaussian_latent_backward_f32(
    const float* mean, const float* logvar, int64_t n, int64_t d, int64_t mean_stride,
    int64_t logvar_stride, int64_t samples, float noise_scale, int64_t seed, int64_t offset,
    const float* dz, const float* dkl, float* dmean, float* dlogvar);
