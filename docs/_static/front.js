// The network of `adder.js` on the front page: those parts of its page that one can play with, in
// the language and the colours of the site.

const front = document.getElementById("front");
const dark = matchMedia("(prefers-color-scheme: dark)");

/** The theme that the reader has chosen, or the system's. */
const theme = () => {
  const { theme: chosen } = document.body.dataset;
  return ["light", "dark"].includes(chosen) ? chosen : dark.matches ? "dark" : "light";
};

const parts = new CSSStyleSheet();
parts.replaceSync(`
  header, .tagline, section:not(.verdict, .calculator, .train) { display: none; }
  .page { background: transparent; }
  .inner { padding: 0; }
  section { margin-top: 40px; }
  section.verdict { margin-top: 0; }
`);

/** Below the verdict, whenever that is drawn, what the page of the site has there: a file, and ways on. */
const place = () => {
  const verdict = front.shadowRoot.querySelector("section.verdict");
  if (!verdict || front.shadowRoot.querySelector("slot")) return;
  const slot = document.createElement("slot");
  slot.name = "ways";
  verdict.after(slot);
};

// a module from an address of its own would not be loaded from a disk
import(adder.script).then(({ mount }) => {
  const language = document.documentElement.lang.startsWith("zh") ? "zh" : "en";
  mount(front, adder.model, { language, theme: theme() });
  front.shadowRoot.adoptedStyleSheets = [parts];
  place();
  new MutationObserver(place).observe(front.shadowRoot, { childList: true, subtree: true });
  const paint = () => { front.shadowRoot.querySelector(".page").dataset.theme = theme(); };
  new MutationObserver(paint).observe(document.body, { attributeFilter: ["data-theme"] });
  dark.addEventListener("change", paint);
  paint();
});
