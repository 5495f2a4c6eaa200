// Step 2 of a block: the gradients, once the sums are known.

#pragma once

#include "work.h"

namespace {

// Gradient of the block's hidden states.
template <typename T, typename W>
inline void Cut<T, W>::give_hidden(T* d_hidden) {
  const double even = set_.smoothing / vocabulary_;
  at::parallel_for(0, n_, 8, [&](int64_t first, int64_t last) {
    for (int64_t n = first; n < last; ++n) {
      const int64_t row = tokens_.row[n];
      const W* target = weight_ + tokens_.target[n] * width_;
      const float scale = tokens_.scale[n], pull = tokens_.pull[n];
      for (int64_t d = 0; d < width_; ++d) {
        float sum = 0;
        for (const Worker& worker : workers_) {
          if (worker.has_worked) sum += worker.d_hidden[d * wide_ + n];
        }
        sum = sum * scale + pull * float(target[d]);
        if (even > 0) sum -= even * token_weights_[row] * weight_sum_[d];
        d_hidden[row * width_ + d] = T(sum);
      }
    }
  });
}

// Step 2 of the block: its share of the gradient of the weight and of the bias.
template <typename T, typename W>
inline void Cut<T, W>::give_weight(W* d_weight, float* d_bias) {
  at::parallel_for(0, wide_ / 2, 8, [&](int64_t first, int64_t last) {
    for (int64_t n = 2 * first; n < 2 * last; ++n) {
      for (int64_t d = 0; d < width_; ++d) {
        scaled_[place(n, d, width_)] = T(float(entry(n, d)) * tokens_.scale[n]);
      }
    }
  });
  const std::vector<float> all = even_pull();
  over_tiles([&](Worker& worker, int64_t v, int64_t rows) {
    float* sums = worker.logits.get();
    bool adds = false;
    if constexpr (!is_split) {
      sums = d_weight + v * width_;
      adds = !is_first_;
    }
    at::native::cpublas::brgemm(rows, width_, wide_, wide_, width_, width_, adds,
                                scratch_.get() + v * wide_, scaled_.get(), sums, is_half);
    if (!all.empty()) {
      for (int64_t i = 0; i < rows * width_; ++i) sums[i] -= all[i % width_];
    }
    over_targets(v, rows, [&](int64_t i, int64_t n) {
      const T* h = hidden_ + tokens_.row[n] * width_;
      for (int64_t d = 0; d < width_; ++d) sums[i * width_ + d] += tokens_.pull[n] * float(h[d]);
    });
    if constexpr (is_split) merge(sums, d_weight + v * width_, v * width_, rows * width_);
    if (d_bias) give_bias(d_bias, v, rows);
  });
}

// What label smoothing takes from the gradient of every row of the weight [d]; empty for none.
template <typename T, typename W>
inline std::vector<float> Cut<T, W>::even_pull() const {
  if (set_.smoothing == 0) return {};
  std::vector<float> all(width_, 0.0f);
  for (int64_t n = 0; n < n_; ++n) {
    const double even = set_.smoothing / vocabulary_ * token_weights_[tokens_.row[n]];
    for (int64_t d = 0; d < width_; ++d) all[d] += even * float(entry(n, d));
  }
  return all;
}

// Adds float32 sums to a gradient kept in two halves; the last block rounds it.
template <typename T, typename W>
inline void Cut<T, W>::merge(const float* sums, W* d_weight, int64_t at, int64_t size) {
  auto* high = reinterpret_cast<uint16_t*>(d_weight);
  uint16_t* low = low_.get() + at;
  if (is_first_ && is_last_) {
    for (int64_t i = 0; i < size; ++i) high[i] = rounded(sums[i]) >> 16;
  } else if (is_first_) {
    for (int64_t i = 0; i < size; ++i) {
      const uint32_t bits = std::bit_cast<uint32_t>(sums[i]);
      high[i] = bits >> 16;
      low[i] = bits;
    }
  } else {
    for (int64_t i = 0; i < size; ++i) {
      const uint32_t before = static_cast<uint32_t>(high[i]) << 16 | low[i];
      const float sum = std::bit_cast<float>(before) + sums[i];
      const uint32_t bits = is_last_ ? rounded(sum) : std::bit_cast<uint32_t>(sum);
      high[i] = bits >> 16;
      low[i] = bits;
    }
  }
}

template <typename T, typename W>
inline void Cut<T, W>::give_bias(float* d_bias, int64_t v, int64_t rows) {
  double even = 0;
  for (int64_t n = 0; n < n_; ++n) even += token_weights_[tokens_.row[n]];
  even *= set_.smoothing / vocabulary_;
  for (int64_t i = 0; i < rows; ++i) {
    const T* row = scratch_.get() + (v + i) * wide_;
    float sum = 0;
    for (int64_t n = 0; n < wide_; ++n) sum += float(row[n]) * tokens_.scale[n];
    d_bias[v + i] = (is_first_ ? 0 : d_bias[v + i]) + sum - even;
  }
  over_targets(v, rows, [&](int64_t i, int64_t n) { d_bias[v + i] += tokens_.pull[n]; });
}

// Sum of the weight's rows [d], which label smoothing pulls hidden states to.
template <typename T, typename W>
inline void Cut<T, W>::sum_weight() {
  weight_sum_.assign(width_, 0.0);
  for (int64_t v = 0; v < vocabulary_; ++v) {
    for (int64_t d = 0; d < width_; ++d) weight_sum_[d] += float(weight_[v * width_ + d]);
  }
}

}  // namespace
