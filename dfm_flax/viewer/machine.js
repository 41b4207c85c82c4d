// A Deep Fourier Machine on the graphics card: from coefficients to colors at any position.
"use strict";

const TEXTURE_WIDTH = 1024; // texels of a row of the texture that holds the coefficients

const FREQUENCIES = { additive: (m, F) => m * F + 1, full: (m, F) => (F + 1) ** m };

const VERTEX_SHADER = `#version 300 es
void main() { // a triangle over all of the picture
  gl_Position = vec4(4 * (gl_VertexID & 1) - 1, 2 * (gl_VertexID & 2) - 1, 0, 1);
}`;

/** The float32 numbers in a text of base64. */
function numbers(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

/** Layers of a structure, each with its place in the texture: four features are a texel. */
function layersOf({ widths, bases, frequencies }) {
  let first = 0;
  return bases.map((basis, i) => {
    const [m, n, F] = [widths[i], widths[i + 1], frequencies[i]];
    const layer = { basis, m, n, F, first, K: FREQUENCIES[basis](m, F), quads: Math.ceil(n / 4) };
    first += (2 * layer.K - 1) * layer.quads;
    return layer;
  });
}

/** The lines of the shader that evaluate a layer: arguments x[] to values x[]. */
function layerCode({ basis, m, n, F, K, first, quads }, residual) {
  const add = (cosines, sines) => `
    for (int q = 0; q < ${quads}; q++) y[q] += cos(angle) * weight(${cosines} + q) + ${sines};`;
  const series = {
    additive: `
  for (int i = 0; i < ${m}; i++) for (int f = 1; f <= ${F}; f++) {
    float angle = TAU * fract(float(f) * fract(x[i]));
    int row = ${first} + ((f - 1) * ${m} + i + 1) * ${quads};
    ${add("row", `sin(angle) * weight(row + ${(K - 1) * quads} + q)`)}
  }`,
    full: `
  for (int k = 1; k < ${K}; k++) {
    float periods = 0.0;
    for (int i = ${m - 1}, rest = k; i >= 0; i--, rest /= ${F + 1})
      periods += float(rest % ${F + 1}) * fract(x[i]);
    float angle = TAU * fract(periods);
    int row = ${first} + k * ${quads};
    ${add("row", `sin(angle) * weight(row + ${(K - 1) * quads} + q)`)}
  }`,
  };
  const sum = residual && m === n ? "+=" : "=";
  return `{
  vec4 y[${quads}];
  for (int q = 0; q < ${quads}; q++) y[q] = weight(${first} + q);${series[basis]}
  for (int q = 0; q < ${quads}; q++) for (int j = 0; j < 4; j++) x[4 * q + j] ${sum} y[q][j];
}`;
}

function fragmentShader(structure) {
  const layers = layersOf(structure);
  const most = Math.max(...layers.map(({ quads }) => quads));
  const gray = structure.widths.at(-1) === 1;
  return `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
const float TAU = 6.283185307179586;
uniform sampler2D coefficients;
uniform vec2 corner, pixel; // of the part that is drawn, and of a pixel, in the unit square
out vec4 color;

vec4 weight(int i) {
  return texelFetch(coefficients, ivec2(i % ${TEXTURE_WIDTH}, i / ${TEXTURE_WIDTH}), 0);
}

void main() {
  vec2 position = corner + pixel * gl_FragCoord.xy;
  if (any(lessThan(position, vec2(0))) || any(greaterThan(position, vec2(1)))) {
    color = vec4(0);
    return;
  }
  float x[${4 * most}];
  x[0] = ${structure.extent.toFixed(9)} * position.x;
  x[1] = ${structure.extent.toFixed(9)} * position.y;
${layers.map((layer) => layerCode(layer, structure.residual)).join("\n")}
  vec3 value = ${gray ? "vec3(x[0])" : "vec3(x[0], x[1], x[2])"};
  color = vec4(0.5 + 0.5 * tanh(clamp(value, -15.0, 15.0)), 1);
}`;
}

/** Draws machines of one structure into framebuffers, row 0 at the top. */
class Machine {
  constructor(gl, structure) {
    this.gl = gl;
    this.layers = layersOf(structure);
    this.weights = this.layers.reduce((sum, { K, n }) => sum + (2 * K - 1) * n, 0);
    this.program = this.link(VERTEX_SHADER, fragmentShader(structure));
    this.texture = gl.createTexture();
  }

  link(...sources) {
    const { gl } = this;
    const program = gl.createProgram();
    sources.forEach((source, i) => {
      const shader = gl.createShader([gl.VERTEX_SHADER, gl.FRAGMENT_SHADER][i]);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) {
        throw new Error(gl.getShaderInfoLog(shader));
      }
      gl.attachShader(program, shader);
    });
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
      throw new Error(gl.getProgramInfoLog(program));
    }
    return program;
  }

  /** Takes a machine's coefficients: layer after layer, row by row. */
  load(vector) {
    const { gl } = this;
    const last = this.layers.at(-1);
    const texels = last.first + (2 * last.K - 1) * last.quads;
    const height = Math.ceil(texels / TEXTURE_WIDTH);
    const data = new Float32Array(4 * TEXTURE_WIDTH * height);
    let from = 0;
    for (const { first, K, n, quads } of this.layers) {
      for (let row = 0; row < 2 * K - 1; row++, from += n) {
        data.set(vector.subarray(from, from + n), 4 * (first + row * quads));
      }
    }
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
      gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST);
    }
    gl.texImage2D(
      gl.TEXTURE_2D, 0, gl.RGBA32F, TEXTURE_WIDTH, height, 0, gl.RGBA, gl.FLOAT, data);
  }

  /** A framebuffer of [height, width] pixels. */
  target(height, width) {
    const { gl } = this;
    const buffer = gl.createRenderbuffer();
    gl.bindRenderbuffer(gl.RENDERBUFFER, buffer);
    gl.renderbufferStorage(gl.RENDERBUFFER, gl.RGBA8, width, height);
    const framebuffer = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
    gl.framebufferRenderbuffer(
      gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.RENDERBUFFER, buffer);
    return { framebuffer, buffer, height, width };
  }

  release({ framebuffer, buffer }) {
    this.gl.deleteFramebuffer(framebuffer);
    this.gl.deleteRenderbuffer(buffer);
  }

  /**
   * Draws rows of a target, and waits until they are drawn.
   *
   * corner: of the target, pixel: size of one of its pixels; both [x, y] in the unit square.
   */
  drawRows(target, start, count, corner, pixel) {
    const { gl, program } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, target.framebuffer);
    gl.viewport(0, 0, target.width, target.height);
    gl.enable(gl.SCISSOR_TEST);
    gl.scissor(0, start, target.width, count);
    gl.useProgram(program);
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.uniform2f(gl.getUniformLocation(program, "corner"), ...corner);
    gl.uniform2f(gl.getUniformLocation(program, "pixel"), ...pixel);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    gl.disable(gl.SCISSOR_TEST);
    gl.readPixels(0, start, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
  }

  /** The whole image of [height, width] pixels, RGBA, row by row from the top. */
  pixels(height, width) {
    const { gl } = this;
    const target = this.target(height, width);
    const rows = Math.max(1, Math.floor(2e9 / (this.weights * width)));
    for (let start = 0; start < height; start += rows) {
      const count = Math.min(rows, height - start);
      this.drawRows(target, start, count, [0, 0], [1 / width, 1 / height]);
    }
    const data = new Uint8Array(4 * height * width);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
    this.release(target);
    return data;
  }
}
