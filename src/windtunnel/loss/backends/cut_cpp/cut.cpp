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
//
// Here: what torch calls. lanes.h: arithmetic; work.h: the order of the work; scores.h and
// gradients.h: its two steps.

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "gradients.h"
#include "scores.h"
#include "work.h"

namespace {

using at::Tensor;

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
