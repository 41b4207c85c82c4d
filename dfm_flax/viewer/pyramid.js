// A machine over a pyramid of grids on the graphics card: version 3 of the .dfm file.
//
// A grid is a cosine series in x and in y, given by its values at nodes. A drawing takes the grids
// to the columns that it needs, then to its rows; there the machine gives colors, and the 3x3
// filter looks for colors one pixel of the image to each side, however far one has zoomed in.
"use strict";

const TILE = { rows: 256, columns: 512 }; // of the screen, drawn at once; up to three times as many are needed
const MOST_ROW_TEXELS = 2 ** 20; // of the matrix of a tile's rows
const NEAR = 1e-6; // cells, so near to a node the series is its value
const FINEST = 2 ** 20; // positions are multiples of so small a part of a pixel: equal ones are found

/** What the matrices of a line of nodes are made of, see `dfm_flax/models/grids.py`. */
function line(nodes) {
  const half = Math.PI / (2 * nodes);
  const centers = Float64Array.from({ length: nodes }, (_, j) => half * (j + 0.5));
  const [sines, cosines] = [centers.map(Math.sin), centers.map(Math.cos)];
  const factors = sines.map((sine, j) => ((j % 2 ? 1 : -1) * sine * cosines[j]) / nodes);
  return { nodes, half, sines, cosines, factors };
}

/**
 * The series that are 1 at one node and 0 at all others, at positions in cells.
 *
 * Four nodes are a texel of `data`: those of a position begin at `first`, and there are so many
 * texels from one position to the next, and from four nodes to the next four.
 */
function fillMatrix({ nodes, half, sines, cosines, factors }, positions, data, [first, position, quad]) {
  positions.forEach((at, i) => {
    const [sine, cosine] = [Math.sin(half * at), Math.cos(half * at)];
    const numerator = Math.cos(Math.PI * (at % 2));
    for (let j = 0; j < nodes; j++) {
      const before = sine * cosines[j] - cosine * sines[j];
      const behind = sine * cosines[j] + cosine * sines[j];
      const near = Math.min(Math.abs(before), Math.abs(behind)) < NEAR * half;
      data[4 * (first + i * position + (j >> 2) * quad) + (j & 3)] =
        near ? 1 : (numerator * factors[j]) / (before * behind);
    }
  });
}

/**
 * Where a line of pixels needs colors: [before, at, behind] of each among `needed`, and whether
 * it is in the picture. `corner`, `pixel` and positions are in pixels of the image, which has
 * `size` of them.
 */
function partOf(first, count, corner, pixel, size) {
  const clip = (low, x, high) => Math.min(Math.max(x, low), high);
  const triples = Array.from({ length: count }, (_, i) => {
    const at = Math.round(FINEST * (corner + (first + i + 0.5) * pixel)) / FINEST;
    const own = clip(0, at, size);
    return [clip(0.5, own - 1, size - 0.5), own, clip(0.5, own + 1, size - 0.5), at === own];
  });
  const needed = [...new Set(triples.flatMap((triple) => triple.slice(0, 3)))].sort((a, b) => a - b);
  const places = new Map(needed.map((at, i) => [at, i]));
  const index = triples.flatMap(([before, own, behind, inside]) =>
    [places.get(before), places.get(own), places.get(behind), Number(inside)]);
  return { needed, index: new Float32Array(index) };
}

const LINES_SHADER = `${FRAGMENT_HEAD}
uniform sampler2D grid, columns; // lists: four rows, or four nodes, are a texel
uniform int quads, needed;
out vec4 value; // of four rows at a column

void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  value = vec4(0);
  for (int i = 0; i < quads; i++) {
    vec4 series = texel(columns, i * needed + at.x);
    int first = 4 * (at.y * quads + i);
    for (int j = 0; j < 4; j++) value += series[j] * texel(grid, first + j);
  }
}`;

const colorsShader = (layers, structure, heights) => `${FRAGMENT_HEAD}${machineCode(layers, structure)}
uniform sampler2D rows; // a list: of each row all grids, four nodes a texel
uniform sampler2D ${heights.map((_, l) => `lines${l}`).join(", ")};
uniform float scales[${heights.length}];
uniform vec3 linear[${heights.length}];
out vec4 color;

void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  float x[] = arguments();
  vec3 straight = vec3(0);
  int i = at.y * ${heights.reduce((sum, quads) => sum + quads, 0)};
${heights.map((quads, l) => `  {
    vec4 sum = vec4(0);
    for (int q = 0; q < ${quads}; q++, i++) sum += texel(rows, i) * texelFetch(lines${l}, ivec2(at.x, q), 0);
    float value = sum.x + sum.y + sum.z + sum.w;
    x[${l}] = scales[${l}] * value;
    straight += linear[${l}] * value;
  }`).join("\n")}
  color = vec4(straight + machine(x), 1);
}`;

const FILTER_SHADER = `${FRAGMENT_HEAD}
uniform sampler2D colors, across, down; // lists of [before, at, behind, inside]
uniform mat3 taps[9];
uniform ivec2 corner; // of the tile
out vec4 color;

void main() {
  ivec2 at = ivec2(gl_FragCoord.xy) - corner;
  vec4 x = texel(across, at.x), y = texel(down, at.y);
  if (x.w * y.w == 0.0) {
    color = vec4(0);
    return;
  }
  vec3 total = texelFetch(colors, ivec2(x.y, y.y), 0).rgb;
  for (int a = 0; a < 3; a++) for (int b = 0; b < 3; b++)
    total += taps[3 * a + b] * texelFetch(colors, ivec2(x[b], y[a]), 0).rgb;
  color = vec4(clamp(total, 0.0, 1.0), 1);
}`;

/** Draws the pictures of one pyramid. */
class Pyramid extends Drawer {
  constructor(gl, { machine, size, pyramid }) {
    super(gl);
    if (!gl.getExtension("EXT_color_buffer_float")) {
      throw new Error("this graphics card draws no floats");
    }
    this.size = size;
    this.layers = layersOf(machine);
    this.grids = pyramid.map(({ cell, height, width }) => ({
      cell, height, width, down: line(height), across: line(width), quads: Math.ceil(height / 4),
      lines: this.floats(Math.ceil(height / 4), 3 * TILE.columns),
      texture: gl.createTexture(),
    }));
    this.quads = this.grids.reduce((sum, { quads }) => sum + quads, 0);
    this.colors = this.floats(3 * TILE.rows, 3 * TILE.columns);
    this.programs = {
      lines: this.link(LINES_SHADER),
      colors: this.link(colorsShader(this.layers, machine, this.grids.map(({ quads }) => quads))),
      filter: this.link(FILTER_SHADER),
    };
    this.textures = Object.fromEntries(
      ["coefficients", "columns", "rows", "across", "down"].map((name) => [name, gl.createTexture()]));
  }

  /** A texture of [height, width] texels to draw into. */
  floats(height, width) {
    const { gl } = this;
    const texture = this.fill(height, width, null);
    const framebuffer = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    return { framebuffer, texture, height, width };
  }

  load({ coefficients, grids, units, scales, linear, filter }) {
    const { gl, programs } = this;
    this.fillList(coefficientList(this.layers, coefficients), this.textures.coefficients);
    this.grids.forEach(({ height, width, quads, texture }, l) => {
      const columns = 4 * Math.ceil(width / 4);
      const data = new Float32Array(4 * quads * columns);
      const values = numbers(grids[l].numbers, { 1: Int8Array, 2: Int16Array }[grids[l].bytes]);
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          data[4 * ((y >> 2) * columns + x) + (y & 3)] = units[l] * values[y * width + x];
        }
      }
      this.fillList(data, texture);
    });
    gl.useProgram(programs.colors);
    gl.uniform1fv(gl.getUniformLocation(programs.colors, "scales"), scales);
    gl.uniform3fv(gl.getUniformLocation(programs.colors, "linear"), linear.flat());
    gl.useProgram(programs.filter);
    gl.uniformMatrix3fv(gl.getUniformLocation(programs.filter, "taps"), false, filter.flat(3));
  }

  /** Tile by tile, from left to right: a step is four rows of a grid's nodes, then a row of the tile. */
  drawing(target, corner, pixel) {
    const [height, width] = this.size;
    const down = [corner[1] * height, pixel[1] * height, height];
    const across = [corner[0] * width, pixel[0] * width, width];
    const perTile = this.quads + target.height;
    let columns; // of the tile
    const draw = (first, count) => {
      let step = first % perTile;
      const left = TILE.columns * Math.floor(first / perTile);
      const drawn = Math.min(TILE.columns, target.width - left);
      if (step === 0) {
        columns = partOf(left, drawn, ...across);
        this.fillList(columns.index, this.textures.across);
      }
      for (const grid of this.grids) {
        if (step < grid.quads) return this.drawLines(grid, columns.needed, step, count);
        step -= grid.quads;
      }
      const rows = Math.min(count, target.height - step, TILE.rows,
        Math.max(1, Math.floor(MOST_ROW_TEXELS / (3 * this.quads))));
      this.drawColors(columns.needed.length, partOf(step, rows, ...down));
      this.filter(target, [left, step], [drawn, rows]);
      return rows;
    };
    return { steps: perTile * Math.ceil(target.width / TILE.columns), draw };
  }

  /** A grid at columns of positions, for some of its rows. */
  drawLines({ cell, across, quads: all, lines, texture }, needed, first, count) {
    const { gl, textures } = this;
    const quads = Math.ceil(across.nodes / 4);
    if (first === 0) {
      const data = new Float32Array(4 * quads * needed.length);
      fillMatrix(across, needed.map((at) => at / cell), data, [0, 1, needed.length]);
      this.fillList(data, textures.columns);
    }
    const rows = Math.min(count, all - first,
      Math.max(1, Math.floor(MOST_PRODUCTS / (16 * quads * needed.length))));
    const program = this.programs.lines;
    this.bind(program, { grid: texture, columns: textures.columns });
    gl.uniform1i(gl.getUniformLocation(program, "quads"), quads);
    gl.uniform1i(gl.getUniformLocation(program, "needed"), needed.length);
    this.drawPart(lines, [0, first], [needed.length, rows], gl.FLOAT);
    return rows;
  }

  /** Colors before the filter, at the rows that a part needs. */
  drawColors(columns, { needed, index }) {
    const { gl, textures } = this;
    const data = new Float32Array(4 * this.quads * needed.length);
    let first = 0;
    for (const { cell, down, quads } of this.grids) {
      fillMatrix(down, needed.map((at) => at / cell), data, [first, this.quads, 1]);
      first += quads;
    }
    this.fillList(data, textures.rows);
    this.fillList(index, textures.down);
    const lines = this.grids.map(({ lines }, l) => [`lines${l}`, lines.texture]);
    const { coefficients, rows } = textures;
    this.bind(this.programs.colors, { coefficients, rows, ...Object.fromEntries(lines) });
    this.drawPart(this.colors, [0, 0], [columns, needed.length], gl.FLOAT);
  }

  /** The picture itself, in a part of a target. */
  filter(target, corner, size) {
    const { gl } = this;
    const program = this.programs.filter;
    const { across, down } = this.textures;
    this.bind(program, { colors: this.colors.texture, across, down });
    gl.uniform2i(gl.getUniformLocation(program, "corner"), ...corner);
    this.drawPart(target, corner, size, gl.UNSIGNED_BYTE);
  }
}
