// Cut cross-entropy on a CPU with AVX-512: the values and the gradients in 6 N D V operations.
//
// Tokens are taken a block at a time. With c_n close to the largest logit of token n,
//
//   1. over tiles of the vocabulary: logits, S_vn = exp(z_vn - c_n) into scratch [V, block], their
//      sums over v, and dE += S^T C while the tile is in the cache;
//   2. with the sums known, over the tiles again: dC += S (E * scale), scale_n = w_n / sum_v S_vn.
//
// So softmax is never written: its normalisation sits in E. The target's entry is left out of S and
// added in float32, which keeps 1 - p exact enough where p is near 1. A bfloat16 gradient of the
// weight is summed in float32: the upper half of the sum lies in the gradient itself, the lower
// half in a second array of 2 bytes per entry.
//
// Axes: n tokens of a block, v vocabulary, d width. Products: oneDNN's kernels, through torch.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/CPUBlas.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <immintrin.h>
#include <torch/library.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using at::BFloat16;
using at::Tensor;

constexpr int64_t TILE = 128;          // rows of the vocabulary at a time
constexpr float LARGEST_EXPONENT = 60;  // exp(60) * 10^9 terms * 10^3 tokens is finite in float32

template <typename T>
using Buffer = std::unique_ptr<T[]>;

template <typename T>
Buffer<T> buffer(int64_t size) {
  return Buffer<T>(new T[size]);
}

// ------------------------------------------------------------------------------------ arithmetic

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

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// -------------------------------------------------------------------------------------- the work

struct Settings {
  double softcap, smoothing, z_loss;  // softcap 0: none
  bool needs_gradient;
};

// Per-token results; what is known of the tokens of one block.
struct Tokens {
  std::vector<int64_t> row, target;        // where it lies in hidden; its target
  std::vector<std::pair<int64_t, int64_t>> by_target;  // (target, token), sorted
  std::vector<float> centre, logit, exponent, scale, pull;
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
    for (auto* part : {&t.centre, &t.logit, &t.exponent, &t.scale, &t.pull}) part->assign(wide_, 0);
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

  // Weight rows [v, v + rows) in the type of the products, in whole sixteens, zero beyond the width.
  const T* load(Worker& worker, int64_t v, int64_t rows) {
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
  void score() {
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
  template <bool is_capped>
  void exponentiate(Worker& worker, float* logits, int64_t v, int64_t rows) {
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

  static void add(double* sums, Lanes parts) {
    alignas(64) float each[16];
    _mm512_store_ps(each, parts);
    for (int i = 0; i < 16; ++i) sums[i] += each[i];
  }

  // Two rows of S: into the scratch and, as bfloat16, in pairs for the product that follows.
  void keep(Worker& worker, Lanes even, Lanes odd, int64_t v, int64_t i, int64_t n, bool is_pair) {
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

  static void store(BFloat16* to, __m512i words) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(words));
  }

  // dE^T += C^T S for one tile.
  void pull_hidden(Worker& worker, const T* weight, int64_t v, int64_t rows) {
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
  float largest() const {
    float most = -std::numeric_limits<float>::infinity();
    for (const Worker& worker : workers_) {
      for (int64_t n = 0; n < n_; ++n) most = std::max(most, worker.most[n]);
    }
    return most;
  }

  // Moves each token's centre, so far its target's logit, to its largest logit.
  void recentre() {
    for (int64_t n = 0; n < n_; ++n) {
      float most = 0;
      for (const Worker& worker : workers_) most = std::max(most, worker.most[n]);
      tokens_.centre[n] += most;
    }
  }

  // The values of the block's tokens, and the factors of their gradients.
  void conclude(float* nll, float* lse, float* mean_logit) {
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

  // Gradient of the block's hidden states.
  void give_hidden(T* d_hidden) {
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
  void give_weight(W* d_weight, float* d_bias) {
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
  std::vector<float> even_pull() const {
    if (set_.smoothing == 0) return {};
    std::vector<float> all(width_, 0.0f);
    for (int64_t n = 0; n < n_; ++n) {
      const double even = set_.smoothing / vocabulary_ * token_weights_[tokens_.row[n]];
      for (int64_t d = 0; d < width_; ++d) all[d] += even * float(entry(n, d));
    }
    return all;
  }

  // Adds float32 sums to a gradient kept in two halves; the last block rounds it.
  void merge(const float* sums, W* d_weight, int64_t at, int64_t size) {
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

  void give_bias(float* d_bias, int64_t v, int64_t rows) {
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
  void sum_weight() {
    weight_sum_.assign(width_, 0.0);
    for (int64_t v = 0; v < vocabulary_; ++v) {
      for (int64_t d = 0; d < width_; ++d) weight_sum_[d] += float(weight_[v * width_ + d]);
    }
  }

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

std::vector<int64_t> scored_rows(const Tensor& targets, int64_t vocabulary, int64_t ignored) {
  std::vector<int64_t> rows;
  const int64_t* target = targets.const_data_ptr<int64_t>();
  for (int64_t n = 0; n < targets.numel(); ++n) {
    if (target[n] == ignored) continue;
    TORCH_CHECK_VALUE(target[n] >= 0 && target[n] < vocabulary, "targets must lie in 0 .. ",
                      vocabulary - 1, ", the head's vocabulary, or be ", ignored,
                      " to be ignored; got ", target[n], " at token ", n,
                      ": use the tokenizer that the head was made for");
    rows.push_back(n);
  }
  return rows;
}

template <typename T>
T* data(const Tensor& tensor) {
  return tensor.numel() ? tensor.mutable_data_ptr<T>() : nullptr;
}

// nll [N], lse [N], mean logit [N] in float32, and the gradients of
// sum_n w_n ((1 - smoothing) nll_n + smoothing (lse_n - mean_n) + z_loss lse_n^2), empty unless wanted.
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> cut(
    const Tensor& hidden, const Tensor& weight, const Tensor& bias, const Tensor& targets,
    const Tensor& token_weights, double softcap, double smoothing, double z_loss,
    bool needs_gradient, int64_t ignored, int64_t block) {
  const int64_t n_tokens = hidden.size(0), width = hidden.size(1), vocabulary = weight.size(0);
  const auto rows = scored_rows(targets, vocabulary, ignored);
  const auto floats = targets.options().dtype(at::kFloat);
  const bool is_unscored = rows.empty();
  Tensor nll = at::zeros({n_tokens}, floats), lse = at::zeros({n_tokens}, floats);
  Tensor mean_logit = at::zeros({n_tokens}, floats);
  Tensor d_hidden = at::zeros({needs_gradient ? n_tokens : 0, width}, hidden.options());
  const int64_t height = needs_gradient ? vocabulary : 0;
  Tensor d_weight = is_unscored ? at::zeros({height, width}, weight.options())
                                : at::empty({height, width}, weight.options());
  Tensor d_bias = at::zeros({needs_gradient ? bias.numel() : 0}, floats);
  const Settings set{softcap, smoothing, z_loss, needs_gradient};
  const int64_t largest = round_up(std::max<int64_t>(rows.size(), 1), 32);
  auto work = [&]<typename T, typename W>() {
    Cut<T, W>(hidden.const_data_ptr<T>(), weight.const_data_ptr<W>(), data<float>(bias),
              targets.const_data_ptr<int64_t>(), token_weights.const_data_ptr<float>(), width,
              vocabulary, std::min(round_up(block, 32), largest), set)
        .run(rows, nll.mutable_data_ptr<float>(), lse.mutable_data_ptr<float>(),
             mean_logit.mutable_data_ptr<float>(), data<T>(d_hidden), data<W>(d_weight),
             data<float>(d_bias));
  };
  if (is_unscored) {
  } else if (hidden.scalar_type() == at::kFloat) {
    work.template operator()<float, float>();
  } else if (weight.scalar_type() == at::kFloat) {
    work.template operator()<BFloat16, float>();
  } else {
    work.template operator()<BFloat16, BFloat16>();
  }
  return {nll, lse, mean_logit, d_hidden, d_weight, d_bias};
}

}  // namespace

TORCH_LIBRARY(windtunnel_cut, m) {
  m.def(
      "cut(Tensor hidden, Tensor weight, Tensor bias, Tensor targets, Tensor token_weights, "
      "float softcap, float smoothing, float z_loss, bool needs_gradient, int ignored, int block) "
      "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
      &cut);
}
