// A Deep Fourier Machine on the graphics card: from coefficients to colors at any position.
"use strict";

const MOST_PRODUCTS = 2e9; // of one call, which no card takes for one that hangs

const FREQUENCIES = { additive: (m, F) => m * F + 1, full: (m, F) => (F + 1) ** m };

/** Layers of a structure, each with its place in the list of coefficients: four features are a texel. */
function layersOf({ widths, bases, frequencies }) {
  let first = 0;
  return bases.map((basis, i) => {
    const [m, n, F] = [widths[i], widths[i + 1], frequencies[i]];
    const layer = { basis, m, n, F, first, K: FREQUENCIES[basis](m, F), quads: Math.ceil(n / 4) };
    first += (2 * layer.K - 1) * layer.quads;
    return layer;
  });
}

/** The list of coefficients: layer after layer, row by row, rows filled up with zeros. */
function coefficientList(layers, vector) {
  const last = layers.at(-1);
  const data = new Float32Array(4 * (last.first + (2 * last.K - 1) * last.quads));
  let from = 0;
  for (const { first, K, n, quads } of layers) {
    for (let row = 0; row < 2 * K - 1; row++, from += n) {
      data.set(vector.subarray(from, from + n), 4 * (first + row * quads));
    }
  }
  return data;
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

/** A function of the shader: the machine of arguments x[], which has room for all that layers have. */
function machineCode(layers, { widths, residual }) {
  const room = 4 * Math.ceil(Math.max(...widths) / 4);
  return `
const float TAU = 6.283185307179586;
uniform sampler2D coefficients;

vec4 weight(int i) {
  return texel(coefficients, i);
}

vec3 machine(inout float x[${room}]) {
${layers.map((layer) => layerCode(layer, residual)).join("\n")}
  return ${widths.at(-1) === 1 ? "vec3(x[0])" : "vec3(x[0], x[1], x[2])"};
}

float[${room}] arguments() {
  float x[${room}];
  for (int i = 0; i < ${room}; i++) x[i] = 0.0;
  return x;
}
`;
}

const machineShader = (layers, structure) => `${FRAGMENT_HEAD}${machineCode(layers, structure)}
uniform vec2 corner, pixel; // of the part that is drawn, and of a pixel, in the unit square
out vec4 color;

void main() {
  vec2 position = corner + pixel * gl_FragCoord.xy;
  if (any(lessThan(position, vec2(0))) || any(greaterThan(position, vec2(1)))) {
    color = vec4(0);
    return;
  }
  float x[] = arguments();
  x[0] = ${structure.extent.toFixed(9)} * position.x;
  x[1] = ${structure.extent.toFixed(9)} * position.y;
  color = vec4(0.5 + 0.5 * tanh(clamp(machine(x), -15.0, 15.0)), 1);
}`;

/** Draws machines of the position, of one structure. */
class Machine extends Drawer {
  constructor(gl, { machine }) {
    super(gl);
    this.layers = layersOf(machine);
    this.weights = this.layers.reduce((sum, { K, n }) => sum + (2 * K - 1) * n, 0);
    this.program = this.link(machineShader(this.layers, machine));
    this.coefficients = gl.createTexture();
  }

  load({ coefficients }) {
    this.fillList(coefficientList(this.layers, coefficients), this.coefficients);
  }

  /** A step is a row. */
  drawing(target, corner, pixel) {
    const { gl, program } = this;
    const most = Math.max(1, Math.floor(MOST_PRODUCTS / (this.weights * target.width)));
    const draw = (first, count) => {
      const rows = Math.min(count, most);
      this.bind(program, { coefficients: this.coefficients });
      gl.uniform2f(gl.getUniformLocation(program, "corner"), ...corner);
      gl.uniform2f(gl.getUniformLocation(program, "pixel"), ...pixel);
      this.drawPart(target, [0, first], [target.width, rows], gl.UNSIGNED_BYTE);
      return rows;
    };
    return { steps: target.height, draw };
  }
}
