// The page around a view: names, the original beside it, sliders of a generator, saving.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const part = (id) => document.getElementById(id);
let viewer;

/** Keeps the original where the view is, to the right of the divider. */
function placeOriginal() {
  const image = part("original");
  image.style.transform =
    `translate(${-viewer.left * viewer.scale}px, ${-viewer.top * viewer.scale}px) ` +
    `scale(${viewer.scale * data.size[1] / image.naturalWidth || 1})`;
  const times = viewer.scale >= 1 ? `${viewer.scale.toFixed(1)} x` : `${viewer.scale.toFixed(2)} x`;
  part("zoom").textContent = `${times} its own pixels`;
}

function choose(picture) {
  viewer.load({ ...picture, coefficients: numbers(picture.coefficients) });
  part("original").src = picture.original || "";
  part("beside").hidden = part("divider").hidden = !picture.original;
}

function addSliders() {
  const generator = new Generator(data.generator);
  let latent = generator.mean;
  const sliders = generator.deviations.map((_, d) => {
    const slider = Object.assign(document.createElement("input"), {
      type: "range", min: -3, max: 3, step: 0.01, value: 0,
      title: `principal direction ${d + 1}, in standard deviations`,
    });
    slider.addEventListener("input", update);
    part("sliders").append(slider);
    return slider;
  });
  function update() {
    const steps = sliders.map((slider) => Number(slider.value));
    viewer.load({ coefficients: generator.coefficients(generator.moved(latent, steps)) });
  }
  function start(from) {
    latent = from;
    for (const slider of sliders) slider.value = 0;
    update();
  }
  part("sample").addEventListener("click", () => start(generator.sample()));
  part("mean").addEventListener("click", () => start(generator.mean));
  part("generator").hidden = false;
  start(generator.mean);
}

function addPictures() {
  data.pictures.forEach(({ name }, i) => part("pictures").add(new Option(name, i)));
  part("pictures").hidden = data.pictures.length < 2;
  part("pictures").addEventListener("change", (event) => choose(data.pictures[event.target.value]));
  part("original").addEventListener("load", placeOriginal);
  part("divider").addEventListener("input", (event) => {
    part("beside").style.clipPath = `inset(0 0 0 ${event.target.value}%)`;
  });
  choose(data.pictures[0]);
}

/** The picture as a PNG file, at its own size times a factor. */
function save() {
  const [height, width] = data.size.map((side) => Math.round(side * Number(part("factor").value)));
  const canvas = Object.assign(document.createElement("canvas"), { height, width });
  const pixels = new Uint8ClampedArray(viewer.drawer.pixels(height, width));
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  const link = document.createElement("a");
  link.href = canvas.toDataURL("image/png");
  link.download = `${data.title}.png`;
  link.click();
}

document.title = part("title").textContent = data.title;
part("facts").textContent = data.facts.join(", ");
try {
  viewer = new View(part("canvas"), data);
  viewer.moved = placeOriginal;
  part("save").addEventListener("click", save);
  if (data.generator) addSliders();
  else addPictures();
} catch (error) {
  part("facts").textContent = `cannot be drawn: ${error.message}`;
}
