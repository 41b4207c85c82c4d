// What draws pictures on the graphics card, whatever they are made of.
"use strict";

const TEXTURE_WIDTH = 1024; // texels of a row of a texture that holds a list

const VERTEX_SHADER = `#version 300 es
void main() { // a triangle over all of the picture
  gl_Position = vec4(4 * (gl_VertexID & 1) - 1, 2 * (gl_VertexID & 2) - 1, 0, 1);
}`;

const FRAGMENT_HEAD = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;

vec4 texel(sampler2D list, int i) {
  return texelFetch(list, ivec2(i % ${TEXTURE_WIDTH}, i / ${TEXTURE_WIDTH}), 0);
}
`;

/** The numbers of a type in a text of base64. */
function numbers(base64, type = Float32Array) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return new type(bytes.buffer);
}

/**
 * Draws into framebuffers, row 0 at the top.
 *
 * A subclass has `load(picture)`, and `drawing(target, corner, pixel)`: what is to be done for one
 * picture, `steps` in all. Its `draw(first, count)` does these steps, or fewer, waits until they
 * are done, and returns how many they were; they are done in order. `corner`, of the target, and
 * `pixel`, the size of one of its pixels, are [x, y] in the unit square.
 */
class Drawer {
  constructor(gl) {
    this.gl = gl;
  }

  link(fragmentShader) {
    const { gl } = this;
    const program = gl.createProgram();
    [VERTEX_SHADER, fragmentShader].forEach((source, i) => {
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

  /** Makes textures those that a program knows by these names. */
  bind(program, textures) {
    const { gl } = this;
    gl.useProgram(program);
    Object.entries(textures).forEach(([name, texture], unit) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.uniform1i(gl.getUniformLocation(program, name), unit);
    });
  }

  /** Fills a texture, a new one if none is given, with [height, width] texels of four floats. */
  fill(height, width, data, texture = this.gl.createTexture()) {
    const { gl } = this;
    const most = gl.getParameter(gl.MAX_TEXTURE_SIZE);
    if (Math.max(height, width) > most) {
      throw new Error(`it needs ${width}x${height} numbers, and a side has up to ${most} here`);
    }
    gl.bindTexture(gl.TEXTURE_2D, texture);
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
      gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST);
    }
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, width, height, 0, gl.RGBA, gl.FLOAT, data);
    return texture;
  }

  /** Fills a texture with a list of texels, which `texel` reads. */
  fillList(data, texture) {
    const height = Math.ceil(data.length / (4 * TEXTURE_WIDTH));
    const padded = new Float32Array(4 * TEXTURE_WIDTH * height);
    padded.set(data);
    return this.fill(height, TEXTURE_WIDTH, padded, texture);
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

  /** Draws a part of a target by the program in use, and waits until it is drawn. */
  drawPart({ framebuffer, height, width }, [left, top], [columns, rows], type) {
    const { gl } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
    gl.viewport(0, 0, width, height);
    gl.enable(gl.SCISSOR_TEST);
    gl.scissor(left, top, columns, rows);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    gl.disable(gl.SCISSOR_TEST);
    const data = type === gl.FLOAT ? new Float32Array(4) : new Uint8Array(4);
    gl.readPixels(left, top, 1, 1, gl.RGBA, type, data);
  }

  /** RGBA of a picture of [height, width] pixels, row by row from the top; all of it if no more is said. */
  pixels(height, width, corner = [0, 0], pixel = [1 / width, 1 / height]) {
    const { gl } = this;
    const target = this.target(height, width);
    const drawing = this.drawing(target, corner, pixel);
    for (let done = 0; done < drawing.steps;) done += drawing.draw(done, drawing.steps - done);
    const data = new Uint8Array(4 * height * width);
    gl.bindFramebuffer(gl.FRAMEBUFFER, target.framebuffer);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
    this.release(target);
    return data;
  }
}
