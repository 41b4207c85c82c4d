// What is on the screen: a part of a picture, coarse at first and then pixel by pixel.
"use strict";

const COARSENESS = [8, 2, 1]; // sides of the pixels that are drawn, one pass after the other
const MILLISECONDS = 12; // of drawing, between two frames

class View {
  /** data: of the page; its size is [height, width] of the picture in its own pixels. */
  constructor(canvas, data) {
    const gl = canvas.getContext("webgl2", { antialias: false, preserveDrawingBuffer: true });
    if (!gl) throw new Error("this browser has no WebGL 2");
    Object.assign(this, { canvas, gl, size: data.size });
    this.drawer = new (data.pyramid ? Pyramid : Machine)(gl, data);
    this.count = 16; // steps of a pass that are done at once: as many as fit the time
    this.fitted = true;
    this.moved = () => {}; // called when the part that is shown has changed
    this.listen();
  }

  load(picture) {
    this.drawer.load(picture);
    this.draw();
  }

  /** Shows the whole picture. */
  fit() {
    const [height, width] = this.size;
    const { clientWidth, clientHeight } = this.canvas;
    this.scale = 0.96 * Math.min(clientWidth / width, clientHeight / height);
    this.left = (width - clientWidth / this.scale) / 2;
    this.top = (height - clientHeight / this.scale) / 2;
    this.fitted = true; // until the reader moves it
    this.draw();
  }

  /** Zooms by a factor about a point of the canvas, which stays where it is. */
  zoom(factor, x, y) {
    const scale = Math.min(Math.max(this.scale * factor, 0.05), 5000);
    this.left += x / this.scale - x / scale;
    this.top += y / this.scale - y / scale;
    this.scale = scale;
    this.fitted = false;
    this.draw();
  }

  pan(x, y) {
    this.left -= x / this.scale;
    this.top -= y / this.scale;
    this.fitted = false;
    this.draw();
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons & 1) this.pan(event.movementX, event.movementY);
    });
    canvas.addEventListener("dblclick", () => this.fit());
    new ResizeObserver(() => (this.fitted ? this.fit() : this.draw())).observe(canvas);
  }

  /** Starts to draw what is shown now, from the coarsest pass on. */
  draw() {
    if (!this.scale) return;
    this.moved();
    for (const [side, length] of [["width", "clientWidth"], ["height", "clientHeight"]]) {
      const pixels = Math.max(1, Math.round(this.canvas[length] * window.devicePixelRatio));
      if (this.canvas[side] !== pixels) this.canvas[side] = pixels; // which clears it
    }
    if (this.target) this.drawer.release(this.target);
    this.target = null;
    this.pass = 0;
    if (!this.frame) this.frame = requestAnimationFrame(() => this.step());
  }

  /** Does some steps; shows a pass that is complete. */
  step() {
    this.frame = null;
    const side = COARSENESS[this.pass];
    const { drawer, canvas } = this;
    const start = performance.now();
    if (!this.target) {
      const pixel = side / (this.scale * window.devicePixelRatio);
      const [height, width] = this.size;
      this.target = drawer.target(
        Math.ceil(canvas.height / side), Math.ceil(canvas.width / side));
      this.drawing = drawer.drawing(this.target,
        [this.left / width, this.top / height], [pixel / width, pixel / height]);
      this.done = 0;
    }
    const count = this.drawing.draw(
      this.done, Math.min(this.count, this.drawing.steps - this.done));
    const took = Math.max(performance.now() - start, 0.1);
    this.count = Math.max(1, Math.min(4096, Math.round((count * MILLISECONDS) / took)));
    this.done += count;
    if (this.done === this.drawing.steps) {
      this.show(this.target, side);
      drawer.release(this.target);
      this.target = null;
      this.pass += 1;
    }
    if (this.pass < COARSENESS.length) this.frame = requestAnimationFrame(() => this.step());
  }

  show({ framebuffer, height, width }, side) {
    const { gl, canvas } = this;
    gl.bindFramebuffer(gl.READ_FRAMEBUFFER, framebuffer);
    gl.bindFramebuffer(gl.DRAW_FRAMEBUFFER, null);
    gl.clear(gl.COLOR_BUFFER_BIT); // a blit alone does not tell Chromium that there is news
    const filter = side > 1 ? gl.LINEAR : gl.NEAREST;
    const bottom = canvas.height; // row 0 of a framebuffer is shown at the bottom, ours at the top
    gl.blitFramebuffer(0, 0, width, height,
      0, bottom, width * side, bottom - height * side, gl.COLOR_BUFFER_BIT, filter);
  }
}
