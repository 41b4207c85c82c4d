// A generator: from a latent to the coefficients of a machine, by a perceptron.
"use strict";

const ACTIVATIONS = {
  relu: (x) => Math.max(x, 0),
  silu: (x) => x / (1 + Math.exp(-x)),
  tanh: Math.tanh,
  gelu: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
};

class Generator {
  constructor({ activation, layers, mean, factor, directions, deviations }) {
    this.activation = ACTIVATIONS[activation];
    this.layers = layers.map(({ kernel, bias }) => {
      return { kernel: numbers(kernel), bias: numbers(bias) };
    });
    this.mean = numbers(mean); // of the latents, L numbers
    this.factor = numbers(factor); // lower triangular, [L, L]: its square is their covariance
    this.directions = numbers(directions); // the principal ones, [D, L], of unit length
    this.deviations = deviations; // of the latents along them, D
  }

  /** A latent of the Gaussian with the mean and the covariance of the training latents. */
  sample() {
    const L = this.mean.length;
    const normal = Array.from({ length: L }, () => {
      const radius = Math.sqrt(-2 * Math.log(1 - Math.random()));
      return radius * Math.cos(2 * Math.PI * Math.random());
    });
    return this.mean.map((value, i) => {
      for (let j = 0; j <= i; j++) value += this.factor[i * L + j] * normal[j];
      return value;
    });
  }

  /** A latent moved along the principal directions, by so many deviations each. */
  moved(latent, steps) {
    const L = latent.length;
    return latent.map((value, i) => {
      steps.forEach((step, d) => {
        value += step * this.deviations[d] * this.directions[d * L + i];
      });
      return value;
    });
  }

  /** The coefficients of the machine of a latent. */
  coefficients(latent) {
    return this.layers.reduce((inputs, { kernel, bias }, layer) => {
      const outputs = Float32Array.from(bias);
      const n = bias.length;
      inputs.forEach((input, i) => {
        for (let j = 0; j < n; j++) outputs[j] += input * kernel[i * n + j];
      });
      return layer < this.layers.length - 1 ? outputs.map(this.activation) : outputs;
    }, latent);
  }
}
