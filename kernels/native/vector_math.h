// Elementary functions without branches, calls or tables, so that the compiler runs them in vector
// lanes. Plain float32 multiplications and additions in a fixed order: with -ffp-contract=off every
// vector width, and every IEEE 754 processor, gives the same bits.
//
// The polynomials are minimax fits by Remez exchange, weighted for relative error of the function:
//   exp    (expm1(r) - r - r^2/2) / r^3,      |r| <= ln(2)/2,           degree 4, 2^-31
//   log    (log1p(f) - f + f^2/2) / f^3,      sqrt(1/2) <= 1+f <= sqrt(2), degree 7, 2^-27
//   sin    (sin(x) - x) / x^3 in x^2,         |x| <= pi/4,              degree 2, 2^-28
//   cos    (cos(x) - 1 + x^2/2) / x^4 in x^2, |x| <= pi/4,              degree 2, 2^-33
// The reductions are those of Cody and Waite, "Software manual for the elementary functions", 1980:
// the high part of a constant has so few bits that its multiples are exact.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace seqvae {
namespace SEQVAE_VARIANT {

inline float as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

inline uint32_t as_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

// Adding it rounds to an integer, which is then in the low bits.
constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23

inline float power_of_two(int32_t exponent) {
  return as_float(static_cast<uint32_t>(exponent + 127) << 23);
}

inline float clamped(float value, float low, float high) {
  // Comparisons with NaN are false: it passes, as in torch.clamp.
  value = value < low ? low : value;
  return value > high ? high : value;
}

struct Exponential {
  float root;    // exp(x / 2)
  float expm1;   // exp(x) - 1
  float excess;  // exp(x) - 1 - x, relatively exact near 0, where the difference would cancel
};

// Errors: root 1.5, expm1 1.5 ulp; excess 2 ulp for |x| < ln(2)/2, else 2 ulp of max(1, exp(x)).
inline Exponential exponential(float x) {
  // Beyond these exp(x / 2) is 0 or infinite.
  const float near = clamped(x, -210.0f, 180.0f);
  const float rounded = near * 1.44269504f + kRounder;
  const float multiple = rounded - kRounder;
  const int32_t k = static_cast<int32_t>(as_bits(rounded) - as_bits(kRounder));
  const float r = (near - multiple * 0.693115234375f) - multiple * 3.194618329871446e-05f;
  float p = 0.000198241251f;
  p = p * r + 0.00139332528f;
  p = p * r + 0.00833341945f;
  p = p * r + 0.0416664816f;
  p = p * r + 0.166666657f;
  const float square = r * r;
  const float tail = 0.5f * square + p * (square * r);  // expm1(r) - r

  Exponential result;
  const float mantissa = 1.0f + (r + tail);
  // Powers in two steps: one alone leaves float's range before the result does.
  const int32_t half = k >> 1;
  const float even = (k & 1) != 0 ? mantissa + mantissa : mantissa;
  result.root = std::sqrt(even) * power_of_two(half >> 1) * power_of_two(half - (half >> 1));

  const int32_t bounded = k < -150 ? -150 : (k > 250 ? 250 : k);
  const int32_t first = bounded >> 1;
  const float outer = power_of_two(first);
  const float inner = power_of_two(bounded - first);
  const float inverse = power_of_two(-first);
  const float one = inner - inverse;
  result.expm1 = outer * (inner * (r + tail) + one);
  const float below = x > 180.0f ? 180.0f : x;
  result.excess = outer * (inner * tail + (one + (inner * r - below * inverse)));
  return result;
}

// log(u) for a positive, finite, normal u; error 1 ulp.
inline float logarithm(float u) {
  constexpr uint32_t root_half = 0x3F3504F3u;
  const uint32_t bits = as_bits(u) - root_half;
  const float exponent = static_cast<float>(static_cast<int32_t>(bits) >> 23);
  const float f = as_float((bits & 0x7FFFFFu) + root_half) - 1.0f;
  float p = -0.0763449371f;
  p = p * f + 0.12761575f;
  p = p * f - 0.131601825f;
  p = p * f + 0.142017588f;
  p = p * f - 0.166233569f;
  p = p * f + 0.200012267f;
  p = p * f - 0.250008196f;
  p = p * f + 0.333333313f;
  const float square = f * f;
  const float small = p * (square * f) + exponent * 3.194618329871446e-05f;
  return (f + (small - 0.5f * square)) + exponent * 0.693115234375f;
}

// sin and cos of an angle in [0, 2 pi]; error 1 ulp of max(|angle mod pi/4|, result).
inline void sine_cosine(float angle, float& sine, float& cosine) {
  const float rounded = angle * 0.636619772f + kRounder;
  const float multiple = rounded - kRounder;
  const uint32_t quadrant = as_bits(rounded);
  const float x = (angle - multiple * 1.5707950592041016f) - multiple * 1.2675908465098473e-06f;
  const float square = x * x;
  const float s =
      ((-0.000195172353f * square + 0.008332178f) * square - 0.166666552f) * (square * x) + x;
  const float c =
      ((2.44383791e-05f * square - 0.00138873665f) * square + 0.0416666456f) * (square * square) +
      (1.0f - 0.5f * square);
  const bool swapped = (quadrant & 1u) != 0;
  sine = as_float(as_bits(swapped ? c : s) ^ ((quadrant & 2u) << 30));
  cosine = as_float(as_bits(swapped ? s : c) ^ (((quadrant + 1u) & 2u) << 30));
}

}  // namespace SEQVAE_VARIANT
}  // namespace seqvae
