"use strict";

// The network's forward pass, dropout off: gaussian_encoder and Bernoulli_decoder of vae_graph/model.py.
// A network is { sizes, weights }, as `networkIn` of checkpoint.js returns it.

const elu = x => x > 0 ? x : Math.expm1(x);
const sigmoid = x => 1 / (1 + Math.exp(-x));
const softplus = x => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

function affine(x, weights, scope, number) {                         // x W + b
  const sums = Float32Array.from(weights[`${scope}/b${number}`]), w = weights[`${scope}/w${number}`];
  for (let i = 0; i < x.length; i++) {
    const row = i * sums.length, x_i = x[i];
    if (x_i !== 0) for (let j = 0; j < sums.length; j++) sums[j] += x_i * w[row + j];
  }
  return sums;
}

function encode({ sizes, weights }, image) {                         // mean and std of q(z|X)
  const hidden_1 = affine(image, weights, "encoder_hidden_1", 1).map(elu);
  const hidden_2 = affine(hidden_1, weights, "encoder_hidden_2", 2).map(elu);
  const both = affine(hidden_2, weights, "encoder_z", 3);
  return { mean: both.slice(0, sizes.z), std: both.slice(sizes.z).map(x => softplus(x) + 1e-6) };
}

function decode({ weights }, z) {                                    // pixels from 0 to 1, row by row
  const hidden_1 = affine(z, weights, "decoder_hidden_1", 4).map(elu);
  const hidden_2 = affine(hidden_1, weights, "decoder_hidden_2", 5).map(elu);
  return affine(hidden_2, weights, "decoder_output", 6).map(sigmoid);
}

function encodeAll({ data: { sizes, weights, images } }) {            // what a worker does: it answers with the means
  const n = images.length / 784, means = new Float32Array(n * sizes.z);
  for (let i = 0; i < n; i++) {
    const pixels = Float32Array.from(images.subarray(784 * i, 784 * (i + 1)), value => value / 255);
    means.set(encode({ sizes, weights }, pixels).mean, i * sizes.z);
    if (i % 500 === 499) postMessage({ n_encoded: i + 1 });
  }
  postMessage({ means });
}

// ---- The plane in which a latent space is shown: all of it if n_z is at most 2, else that of the first two
// ---- principal components of the codes, as `latent_plane` of vae_graph/pictures.py.

function latentPlane(codes, n_z) {                                   // codes: n_z numbers for each image, or none
  const unit = direction => Float64Array.from({ length: n_z }, (_, i) => i === direction ? 1 : 0);
  if (n_z <= 2 || !codes) return { origin: new Float64Array(n_z), axes: [unit(0), unit(1)] };
  // Enough of the images: the time grows with the square of n_z.
  const n = Math.min(codes.length / n_z, Math.ceil(2e8 / n_z ** 2)), origin = new Float64Array(n_z), covariance = new Float64Array(n_z * n_z);
  codes.subarray(0, n * n_z).forEach((value, i) => { origin[i % n_z] += value / n; });
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n_z; j++) {
      const deviation = codes[i * n_z + j] - origin[j];
      for (let k = 0; k < n_z; k++) covariance[j * n_z + k] += deviation * (codes[i * n_z + k] - origin[k]) / n;
    }
  }
  const first = principalComponent(covariance, n_z, []);
  return { origin, axes: [first, principalComponent(covariance, n_z, [first])] };
}

const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

// By power iteration. Where the codes do not vary, as those of one image, it is any direction orthogonal to the others.
function principalComponent(covariance, n, orthogonalTo) {
  const variance = Array.from({ length: n }, (_, i) => covariance[i * n + i]).reduce((sum, value) => sum + value, 0);
  let vector = new Float64Array(n);
  const replace = (next, least) => {
    for (const other of orthogonalTo) {
      const overlap = dot(next, other);
      next.forEach((_, i) => { next[i] -= overlap * other[i]; });
    }
    const length = Math.hypot(...next);
    if (length > least) vector = next.map(value => value / length);
  };
  const sign = orthogonalTo.length ? -1 : 1;                         // or it would begin with the first, if that is any
  replace(Float64Array.from({ length: n }, (_, i) => (1 + i / n) * sign ** i), 0);
  for (let round = 0; round < 300; round++) {
    replace(Float64Array.from(vector, (_, i) => dot(covariance.subarray(i * n, (i + 1) * n), vector)), 1e-9 * variance);
  }
  // A component's sign is arbitrary; the largest coefficient is made positive, as in the pictures.
  const largest = vector.reduce((best, value) => Math.abs(value) > Math.abs(best) ? value : best, 0);
  return largest < 0 ? vector.map(value => -value) : vector;
}
