// Sixteen float32 at a time: the exponential, rounding to bfloat16, and transposing squares.

#pragma once

#include <ATen/core/Tensor.h>
#include <immintrin.h>

#include <bit>
#include <cstdint>

namespace {

using at::BFloat16;

using Lanes = __m512;  // sixteen float32, for which the compiler knows + - * /

inline Lanes all(float x) { return _mm512_set1_ps(x); }

// Cephes' expf, within 2 units of the last place; 0 far below and infinity far above.
inline Lanes exponential(Lanes x) {
  x = _mm512_min_ps(_mm512_max_ps(x, all(-200.0f)), all(200.0f));
  const Lanes k = _mm512_roundscale_ps(x * all(1.44269504f), _MM_FROUND_TO_NEAREST_INT);
  const Lanes r = (x - k * all(0.693359375f)) + k * all(2.12194440e-4f);
  Lanes p = all(1.9875691500e-4f);
  p = p * r + all(1.3981999507e-3f);
  p = p * r + all(8.3334519073e-3f);
  p = p * r + all(4.1665795894e-2f);
  p = p * r + all(1.6666665459e-1f);
  p = p * r + all(5.0000001201e-1f);
  return _mm512_scalef_ps(p * r * r + r + all(1.0f), k);
}

inline Lanes hyperbolic_tangent(Lanes x) {
  return all(1.0f) - all(2.0f) / (exponential(x + x) + all(1.0f));
}

inline uint32_t rounded(float x) {  // bfloat16 in the upper half, to nearest, ties to even
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return bits + 0x7fff + ((bits >> 16) & 1);
}

inline __m512i rounded(Lanes x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  return _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
}

// Sixteen rows of 32-bit words [16, 16], transposed in place.
inline void transpose(__m512i (&row)[16]) {
  alignas(64) int32_t low[16], high[16];
  for (int step = 1; step < 16; step *= 2) {
    for (int k = 0; k < 16; ++k) {
      low[k] = k & step ? 16 + k - step : k;
      high[k] = k & step ? 16 + k : k + step;
    }
    const __m512i to_low = _mm512_load_si512(low), to_high = _mm512_load_si512(high);
    for (int i = 0; i < 16; ++i) {
      if (i & step) continue;
      const __m512i a = row[i], b = row[i + step];
      row[i] = _mm512_permutex2var_epi32(a, to_low, b);
      row[i + step] = _mm512_permutex2var_epi32(a, to_high, b);
    }
  }
}

inline void transpose_square(const float* in, int64_t in_stride, float* out, int64_t out_stride) {
  __m512i row[16];
  for (int i = 0; i < 16; ++i) row[i] = _mm512_loadu_si512(in + i * in_stride);
  transpose(row);
  for (int i = 0; i < 16; ++i) _mm512_storeu_si512(out + i * out_stride, row[i]);
}

// bfloat16 [16, 32] to [32, 16].
inline void transpose_square(const BFloat16* in, int64_t in_stride, BFloat16* out,
                             int64_t out_stride) {
  __m512i row[16];
  for (int i = 0; i < 16; ++i) row[i] = _mm512_loadu_si512(in + i * in_stride);
  transpose(row);
  for (int i = 0; i < 16; ++i) {
    auto* even = reinterpret_cast<__m256i*>(out + 2 * i * out_stride);
    auto* odd = reinterpret_cast<__m256i*>(out + (2 * i + 1) * out_stride);
    _mm256_storeu_si256(even, _mm512_cvtepi32_epi16(row[i]));
    _mm256_storeu_si256(odd, _mm512_cvtepi32_epi16(_mm512_srli_epi32(row[i], 16)));
  }
}

}  // namespace
