// Step 1 of a block: logits, S with its sums, dE += S^T C, and the values of the tokens.

#pragma once

#include <limits>

#include "work.h"

namespace {

// Weight rows [v, v + rows) in the type of the products, in whole sixteens, zero beyond the width.
template <typename T, typename W>
inline const T* Cut<T, W>::load(Worker& worker, int64_t v, int64_t rows) {
  if constexpr (std::is_same_v<T, W>) {
    if (padded_ == width_ && rows % 16 == 0) return weight_ + v * width_;
  }
  for (int64_t i = 0; i < round_up(rows, 16); ++i) {
    const W* from = weight_ + (v + i) * width_;
    T* to = worker.tile.get() + i * padded_;
    const int64_t there = i < rows ? width_ : 0;
    for (int64_t d = 0; d < there; ++d) to[d] = T(from[d]);
    std::fill(to + there, to + padded_, T(0));
  }
  return worker.tile.get();
}

// Step 1 of the block.
template <typename T, typename W>
inline void Cut<T, W>::score() {
  for (Worker& worker : workers_) {
    std::fill(worker.sum.begin(), worker.sum.end(), 0.0);
    std::fill(worker.logit_sum.begin(), worker.logit_sum.end(), 0.0);
    std::fill(worker.most.begin(), worker.most.end(), -std::numeric_limits<float>::infinity());
    worker.has_worked = false;
  }
  over_tiles([&](Worker& worker, int64_t v, int64_t rows) {
    const T* weight = load(worker, v, rows);
    float* logits = worker.logits.get();
    at::native::cpublas::brgemm(rows, wide_, padded_, padded_, wide_, wide_, false, weight,
                                packed_.get(), logits, is_half);
    over_targets(v, rows, [&](int64_t i, int64_t n) {
      tokens_.logit[n] = capped(logits[i * wide_ + n] + bias(v + i));
    });
    if (set_.softcap > 0) {
      exponentiate<true>(worker, logits, v, rows);
    } else {
      exponentiate<false>(worker, logits, v, rows);
    }
    if (set_.needs_gradient) pull_hidden(worker, weight, v, rows);
    worker.has_worked = true;
  });
}

// Logits [rows, n] to S, with sums over the rows; S goes where the products that follow want it.
template <typename T, typename W>
template <bool is_capped>
inline void Cut<T, W>::exponentiate(Worker& worker, float* logits, int64_t v, int64_t rows) {
  const Lanes cap = all(set_.softcap), per_cap = all(is_capped ? 1 / set_.softcap : 0);
  for (int64_t n = 0; n < wide_; n += 16) {
    const Lanes centre = _mm512_loadu_ps(tokens_.centre.data() + n);
    Lanes sum = all(0), total = all(0), most = _mm512_loadu_ps(worker.most.data() + n);
    auto one = [&](int64_t i) {
      Lanes x = _mm512_loadu_ps(logits + i * wide_ + n) + all(bias(v + i)), factor;
      if constexpr (is_capped) {
        const Lanes share = hyperbolic_tangent(x * per_cap);
        x = cap * share;
        factor = all(1.0f) - share * share;
      }
      total += x;
      x -= centre;
      most = _mm512_max_ps(most, x);
      x = exponential(x);
      sum += x;
      return is_capped ? x * factor : x;
    };
    for (int64_t i = 0; i < rows; i += 2) {
      const Lanes even = one(i), odd = i + 1 < rows ? one(i + 1) : all(0);
      if (set_.needs_gradient) keep(worker, even, odd, v, i, n, i + 1 < rows);
    }
    _mm512_storeu_ps(worker.most.data() + n, most);
    add(worker.sum.data() + n, sum);
    add(worker.logit_sum.data() + n, total);
  }
  if (!set_.needs_gradient) return;
  over_targets(v, rows, [&](int64_t i, int64_t n) {
    scratch_[(v + i) * wide_ + n] = T(0);
    if constexpr (is_half) {
      reinterpret_cast<uint16_t*>(worker.pairs.get())[2 * (i / 2 * wide_ + n) + i % 2] = 0;
    }
  });
}

template <typename T, typename W>
inline void Cut<T, W>::add(double* sums, Lanes parts) {
  alignas(64) float each[16];
  _mm512_store_ps(each, parts);
  for (int i = 0; i < 16; ++i) sums[i] += each[i];
}

// Two rows of S: into the scratch and, as bfloat16, in pairs for the product that follows.
template <typename T, typename W>
inline void Cut<T, W>::keep(Worker& worker, Lanes even, Lanes odd, int64_t v, int64_t i, int64_t n, bool is_pair) {
  T* scratch = scratch_.get() + (v + i) * wide_ + n;
  if constexpr (is_half) {
    const __m512i low = _mm512_srli_epi32(rounded(even), 16), high = rounded(odd);
    const __m512i upper = _mm512_and_si512(high, _mm512_set1_epi32(0xffff0000));
    _mm512_storeu_si512(worker.pairs.get() + i / 2 * wide_ + n, _mm512_or_si512(upper, low));
    store(scratch, low);
    if (is_pair) store(scratch + wide_, _mm512_srli_epi32(high, 16));
  } else {
    _mm512_storeu_ps(scratch, even);
    if (is_pair) _mm512_storeu_ps(scratch + wide_, odd);
  }
}

template <typename T, typename W>
inline void Cut<T, W>::store(BFloat16* to, __m512i words) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(words));
}

// dE^T += C^T S for one tile.
template <typename T, typename W>
inline void Cut<T, W>::pull_hidden(Worker& worker, const T* weight, int64_t v, int64_t rows) {
  constexpr int64_t columns = is_half ? 32 : 16;
  const int64_t full = round_up(rows, 16);
  for (int64_t i = 0; i < full; i += 16) {
    for (int64_t d = 0; d < padded_; d += columns) {
      transpose_square(weight + i * padded_ + d, padded_,
                       worker.turned.get() + d * TILE + i, TILE);
    }
  }
  const T* right;
  if constexpr (is_half) {
    right = reinterpret_cast<const T*>(worker.pairs.get());
  } else {
    right = scratch_.get() + v * wide_;
  }
  const int64_t depth = is_half ? round_up(rows, 2) : rows;
  at::native::cpublas::brgemm(padded_, wide_, depth, TILE, wide_, wide_, worker.has_worked,
                              worker.turned.get(), right, worker.d_hidden.get(), is_half);
}

// By how much a logit of the block exceeds its centre.
template <typename T, typename W>
inline float Cut<T, W>::largest() const {
  float most = -std::numeric_limits<float>::infinity();
  for (const Worker& worker : workers_) {
    for (int64_t n = 0; n < n_; ++n) most = std::max(most, worker.most[n]);
  }
  return most;
}

// Moves each token's centre, so far its target's logit, to its largest logit.
template <typename T, typename W>
inline void Cut<T, W>::recentre() {
  for (int64_t n = 0; n < n_; ++n) {
    float most = 0;
    for (const Worker& worker : workers_) most = std::max(most, worker.most[n]);
    tokens_.centre[n] += most;
  }
}

// The values of the block's tokens, and the factors of their gradients.
template <typename T, typename W>
inline void Cut<T, W>::conclude(float* nll, float* lse, float* mean_logit) {
  Tokens& t = tokens_;
  for (int64_t n = 0; n < n_; ++n) {
    for (const Worker& worker : workers_) {
      t.sum[n] += worker.sum[n];
      t.logit_sum[n] += worker.logit_sum[n];
    }
    const int64_t row = t.row[n];
    const double log_sum = std::log(t.sum[n]) + t.centre[n];
    nll[row] = log_sum - t.logit[n];
    lse[row] = log_sum;
    mean_logit[row] = t.logit_sum[n] / vocabulary_;
    const double weight = token_weights_[row], grown = 1 + 2 * set_.z_loss * log_sum;
    const double share = std::exp(t.logit[n] - log_sum);
    t.scale[n] = weight * grown / t.sum[n];
    t.pull[n] = weight * (share * grown - 1 + set_.smoothing) * slope(t.logit[n]);
  }
}

}  // namespace
