// Elements, made without markup: whatever text they are given stays text.

import { select } from "d3-selection";

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element: attributes, `on...` listeners, and children (elements, text, or nothing). */
export function h(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** An SVG element. */
export function s(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** What is typed in a field; of the full-width forms, which Chinese keyboards make, ASCII's. */
export function typed(field) {
  return field.value.replace(/[\uff01-\uff5e]/g, (wide) => String.fromCharCode(wide.charCodeAt(0) - 0xfee0));
}

/** Put an axis of d3's into a drawing. */
export const axis = (svg, made, x, y) => select(svg.appendChild(s("g", { transform: `translate(${x},${y})` }))).call(made);

/** Draw again whenever an element's width has changed. */
export function watchWidth(element, draw, signal) {
  let width = 0;
  const observer = new ResizeObserver(() => {
    if (element.clientWidth !== width) {
      width = element.clientWidth;
      draw();
    }
  });
  observer.observe(element);
  signal.addEventListener("abort", () => observer.disconnect());
}

/** A canvas of which each pixel is one number, made large without smoothing. */
export function pixels(width, height, colourOf, attributes = {}) {
  const canvas = h("canvas", { width, height, class: "pixels", ...attributes });
  paint(canvas, colourOf);
  return canvas;
}

export function paint(canvas, colourOf) {
  const { width, height } = canvas, context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let y = 0, at = 0; y < height; y++)
    for (let x = 0; x < width; x++, at += 4) {
      const [r, g, b] = colourOf(x, y);
      image.data[at] = r;
      image.data[at + 1] = g;
      image.data[at + 2] = b;
      image.data[at + 3] = 255;
    }
  context.putImageData(image, 0, 0);
}

/** Offer bytes or text as a file. */
export function download(name, content) {
  const url = URL.createObjectURL(new Blob([content]));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
