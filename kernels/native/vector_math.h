// Elementary functions without branches, calls or tables, so that the compiler runs them in vector
// lanes. Which products are fused with which sums is written down and not left to the compiler
// (-ffp-contract=off): all vector widths, and all processors with fused multiply-add, give the same bits.
//
// The polynomials are minimax fits by Remez exchange, weighted for relative error of the function:
//   exp    (expm1(r) - r - r^2/2) / r^3,      |r| <= ln(2)/2,             degree 3, 2^-26
//   log    (log1p(f) - f + f^2/2) / f^3,      sqrt(1/2) <= 1 + f <= sqrt(2), degree 7, 2^-27
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

// a * b + c, rounded once where the processor can: 12 % of the time of a call.
inline float multiply_add(float a, float b, float c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

// Adding it rounds to an integer, which is then in the low bits.
constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23

// What exp's argument is clamped to. The values are not known to the compiler, which would otherwise
// split its loops into cases and lose half of their speed.
struct Limits {
  float low;
  float high;    // at most 177.5, where exp(x / 2) is infinite
  float lowest;  // at least low and -176.1, where exp(x / 2) is 0
};

inline Limits limits_of(float low, float high) {
  return {low, high < 177.5f ? high : 177.5f, low > -176.1f ? low : -176.1f};
}

struct Exponential {
  float root;    // exp(x / 2)
  float expm1;   // exp(x) - 1
  float excess;  // exp(x) - 1 - x, relatively exact near 0, where the difference would cancel
};

// Reduced by half of x, so that exp(x / 2) needs no root: r = x / 2 - k ln(2), and exp(x) is the square.
// Largest errors found: root 1, expm1 2, excess 7 ulp, at x = 0.8; of excess 4 for |x| < ln(2). NaN gives NaN;
// exp(x / 2) is 0 below 2^-126 and infinite from x = 176.8.
inline Exponential exponential(float x, const Limits& limits) {
  // Comparisons with NaN are false: it passes, as in torch.clamp.
  const float below = x > limits.high ? limits.high : x;
  const float h = 0.5f * (below < limits.lowest ? limits.lowest : below);
  const float rounded = multiply_add(h, 1.44269504f, kRounder);
  const float k = rounded - kRounder;
  const float scale = as_float((as_bits(rounded) << 23) + 0x3F800000u);  // 2^k
  const float r =
      multiply_add(-k, 3.194618329871446e-05f, multiply_add(-k, 0.693115234375f, h));
  float p = 0.00138982246f;
  p = multiply_add(p, r, 0.00836604089f);
  p = multiply_add(p, r, 0.0416668542f);
  p = multiply_add(p, r, 0.166665494f);
  p = multiply_add(p, r, 0.5f);
  const float tail = p * (r * r);
  const float m = r + tail;  // expm1(r)
  const float square = multiply_add(m, m, m + m);  // expm1(2 r)
  // 4^k (square + 1) - 1. 4^k leaves float's range before the result does: one 2^k inside, one outside.
  const float outer = scale < 0x1p-126f ? 0x1p-126f : scale;
  const float inner = outer > 0x1p127f ? 0x1p127f : outer;
  const float inverse = as_float(0x7F000000u - as_bits(inner));
  const float far = multiply_add(square, inner, inner - inverse) * outer;
  const bool near = k == 0.0f;
  Exponential result;
  result.root = (m + 1.0f) * scale;
  result.expm1 = near ? square : far;
  result.excess = near ? multiply_add(m, m, tail + tail) : far - (below < limits.low ? limits.low : below);
  return result;
}

// log(u) for a positive, finite, normal u; error 1 ulp.
inline float logarithm(float u) {
  constexpr uint32_t root_half = 0x3F3504F3u;
  const uint32_t bits = as_bits(u) - root_half;
  const float exponent = static_cast<float>(static_cast<int32_t>(bits) >> 23);
  const float f = as_float((bits & 0x7FFFFFu) + root_half) - 1.0f;
  float p = -0.0763449371f;
  p = multiply_add(p, f, 0.12761575f);
  p = multiply_add(p, f, -0.131601825f);
  p = multiply_add(p, f, 0.142017588f);
  p = multiply_add(p, f, -0.166233569f);
  p = multiply_add(p, f, 0.200012267f);
  p = multiply_add(p, f, -0.250008196f);
  p = multiply_add(p, f, 0.333333313f);
  const float square = f * f;
  const float small = multiply_add(p, square * f, exponent * 3.194618329871446e-05f);
  return multiply_add(exponent, 0.693115234375f, f + multiply_add(-0.5f, square, small));
}

// sin and cos of an angle in [0, 2 pi]; error 1 ulp of max(|angle mod pi/4|, result).
inline void sine_cosine(float angle, float& sine, float& cosine) {
  const float rounded = multiply_add(angle, 0.636619772f, kRounder);
  const float multiple = rounded - kRounder;
  const uint32_t quadrant = as_bits(rounded);
  const float x = multiply_add(-multiple, 1.2675908465098473e-06f,
                               multiply_add(-multiple, 1.5707950592041016f, angle));
  const float square = x * x;
  float s = multiply_add(-0.000195172353f, square, 0.008332178f);
  s = multiply_add(multiply_add(s, square, -0.166666552f), square * x, x);
  float c = multiply_add(2.44383791e-05f, square, -0.00138873665f);
  c = multiply_add(multiply_add(c, square, 0.0416666456f), square, -0.5f);
  c = multiply_add(c, square, 1.0f);
  const bool swapped = (quadrant & 1u) != 0;
  sine = as_float(as_bits(swapped ? c : s) ^ ((quadrant & 2u) << 30));
  cosine = as_float(as_bits(swapped ? s : c) ^ (((quadrant + 1u) & 2u) << 30));
}

}  // namespace SEQVAE_VARIANT
}  // namespace seqvae
