// The work: what is known of the problem, of a block of tokens and of a worker, and how the steps
// follow each other.

#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/CPUBlas.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "lanes.h"

namespace {

constexpr int64_t TILE = 128;          // rows of the vocabulary at a time
constexpr float LARGEST_EXPONENT = 60;  // exp(60) * 10^9 terms * 10^3 tokens is finite in float32

template <typename T>
using Buffer = std::unique_ptr<T[]>;

template <typename T>
Buffer<T> buffer(int64_t size) {
  return Buffer<T>(new T[size]);
}

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

struct Settings {
  double softcap, smoothing, z_loss;  // softcap 0: none
  bool needs_gradient;
};

// Per-token results; what is known of the tokens of one block.
struct Tokens {
  std::vector<int64_t> row, target;        // where it lies in hidden; its target
  std::vector<std::pair<int64_t, int64_t>> by_target;  // (target, token), sorted
  std::vector<float> centre, logit, scale, pull;
  std::vector<double> sum, logit_sum;
};

template <typename T, typename W>
class Cut {
 public:
  static constexpr bool is_half = std::is_same_v<T, BFloat16>;
  static constexpr bool is_split = std::is_same_v<W, BFloat16>;

  Cut(const T* hidden, const W* weight, const float* bias, const int64_t* targets,
      const float* token_weights, int64_t width, int64_t vocabulary, int64_t block, Settings set)
      : hidden_(hidden), weight_(weight), bias_(bias), targets_(targets),
        token_weights_(token_weights), width_(width), vocabulary_(vocabulary), block_(block),
        set_(set), padded_(round_up(width, 32)), n_tiles_((vocabulary + TILE - 1) / TILE) {
    packed_ = buffer<T>(padded_ * block_);
    if (set_.needs_gradient) {
      scaled_ = buffer<T>(block_ * padded_);
      scratch_ = buffer<T>(vocabulary_ * block_);
    }
    workers_.resize(at::get_num_threads());
    for (Worker& worker : workers_) {
      worker.tile = buffer<T>(TILE * padded_);
      worker.logits = buffer<float>(TILE * std::max(block_, width_));
      worker.sum.resize(block_);
      worker.logit_sum.resize(block_);
      worker.most.resize(block_);
      if (!set_.needs_gradient) continue;
      worker.turned = buffer<T>(padded_ * TILE);
      worker.d_hidden = buffer<float>(padded_ * block_);
      if (is_half) worker.pairs = buffer<uint32_t>(TILE / 2 * block_);
    }
  }

  void run(const std::vector<int64_t>& rows, float* nll, float* lse, float* mean_logit,
           T* d_hidden, W* d_weight, float* d_bias) {
    const int64_t n_rows = rows.size();
    if (set_.smoothing > 0 && set_.needs_gradient) sum_weight();
    if (is_split && set_.needs_gradient && n_rows > block_) {
      low_ = buffer<uint16_t>(vocabulary_ * width_);
    }
    for (int64_t begin = 0; begin < n_rows; begin += block_) {
      const int64_t end = std::min(begin + block_, n_rows);
      is_first_ = begin == 0;
      is_last_ = end == n_rows;
      take(rows, begin, end);
      score();
      if (largest() > LARGEST_EXPONENT) {
        recentre();
        score();
      }
      conclude(nll, lse, mean_logit);
      if (!set_.needs_gradient) continue;
      give_hidden(d_hidden);
      give_weight(d_weight, d_bias);
    }
  }

 private:
  struct Worker {
    Buffer<T> tile, turned;
    Buffer<float> logits, d_hidden;
    Buffer<uint32_t> pairs;
    std::vector<double> sum, logit_sum;
    std::vector<float> most;
    bool has_worked = false;
  };

  // Takes tokens [begin, end) as the block; a block is padded with tokens of no weight.
  void take(const std::vector<int64_t>& rows, int64_t begin, int64_t end) {
    n_ = end - begin;
    wide_ = round_up(n_, 32);
    Tokens& t = tokens_;
    t.row.assign(rows.begin() + begin, rows.begin() + end);
    t.target.resize(n_);
    t.by_target.resize(n_);
    for (auto* part : {&t.centre, &t.logit, &t.scale, &t.pull}) part->assign(wide_, 0);
    t.sum.assign(wide_, 0);
    t.logit_sum.assign(wide_, 0);
    for (int64_t n = 0; n < n_; ++n) {
      t.target[n] = targets_[t.row[n]];
      t.by_target[n] = {t.target[n], n};
    }
    std::sort(t.by_target.begin(), t.by_target.end());
    at::parallel_for(0, n_, 16, [&](int64_t first, int64_t last) {
      for (int64_t n = first; n < last; ++n) t.centre[n] = capped(dot(n) + bias(t.target[n]));
    });
    at::parallel_for(0, padded_ / 2, 8, [&](int64_t first, int64_t last) {
      for (int64_t d = 2 * first; d < 2 * last; ++d) {
        for (int64_t n = 0; n < wide_; ++n) packed_[place(d, n, wide_)] = entry(n, d);
      }
    });
  }

  T entry(int64_t n, int64_t d) const {
    return n < n_ && d < width_ ? hidden_[tokens_.row[n] * width_ + d] : T(0);
  }

  // Where entry (k, column) of the right factor of a product lies: bfloat16 in pairs along k.
  static int64_t place(int64_t k, int64_t column, int64_t columns) {
    return is_half ? (k / 2 * columns + column) * 2 + k % 2 : k * columns + column;
  }

  float dot(int64_t n) const {
    const T* h = hidden_ + tokens_.row[n] * width_;
    const W* w = weight_ + tokens_.target[n] * width_;
    float sum = 0;
    for (int64_t d = 0; d < width_; ++d) sum += float(h[d]) * float(w[d]);
    return sum;
  }

  float bias(int64_t v) const { return bias_ ? bias_[v] : 0; }

  float capped(float z) const {
    const float cap = set_.softcap;
    return cap > 0 ? cap * std::tanh(z / cap) : z;
  }

  // The slope of the cap, from the capped logit.
  float slope(float z) const {
    const float cap = set_.softcap;
    return cap > 0 ? 1 - z / cap * (z / cap) : 1;
  }

  template <typename Do>
  void over_tiles(Do work) {
    at::parallel_for(0, n_tiles_, 1, [&](int64_t first, int64_t last) {
      Worker& worker = workers_[at::get_thread_num()];
      for (int64_t i = first; i < last; ++i) {
        work(worker, i * TILE, std::min(TILE, vocabulary_ - i * TILE));
      }
      at::native::cpublas::brgemm_release(is_half);
    });
  }

  // Tokens of the block whose target lies in [v, v + rows).
  template <typename Do>
  void over_targets(int64_t v, int64_t rows, Do work) {
    const auto& by = tokens_.by_target;
    auto found = std::lower_bound(by.begin(), by.end(), std::pair<int64_t, int64_t>(v, 0));
    for (; found != by.end() && found->first < v + rows; ++found) {
      work(found->first - v, found->second);
    }
  }

  // Step 1 (scores.h).
  const T* load(Worker& worker, int64_t v, int64_t rows);
  void score();
  template <bool is_capped>
  void exponentiate(Worker& worker, float* logits, int64_t v, int64_t rows);
  static void add(double* sums, Lanes parts);
  void keep(Worker& worker, Lanes even, Lanes odd, int64_t v, int64_t i, int64_t n, bool is_pair);
  static void store(BFloat16* to, __m512i words);
  void pull_hidden(Worker& worker, const T* weight, int64_t v, int64_t rows);
  float largest() const;
  void recentre();
  void conclude(float* nll, float* lse, float* mean_logit);

  // Step 2, and what is left of step 1 once the sums are known (gradients.h).
  void give_hidden(T* d_hidden);
  void give_weight(W* d_weight, float* d_bias);
  std::vector<float> even_pull() const;
  void merge(const float* sums, W* d_weight, int64_t at, int64_t size);
  void give_bias(float* d_bias, int64_t v, int64_t rows);
  void sum_weight();

  const T* hidden_;
  const W* weight_;
  const float* bias_;
  const int64_t* targets_;
  const float* token_weights_;
  int64_t width_, vocabulary_, block_;
  Settings set_;
  int64_t padded_, n_tiles_, n_ = 0, wide_ = 0;
  bool is_first_ = true, is_last_ = true;
  Tokens tokens_;
  Buffer<T> packed_, scaled_, scratch_;
  Buffer<uint16_t> low_;
  std::vector<double> weight_sum_;
  std::vector<Worker> workers_;
};

}  // namespace
