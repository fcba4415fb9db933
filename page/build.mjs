// Bundles src/ into ../src/carrynet/report: view.mjs, the page of a run, and sweep.mjs, that of a
// sweep; each is one ES module that needs nothing else.  The bundles are committed, since
// whoever installs carrynet need not have Node.
//
//     npm install && npm run build        make it
//     npm run check                       fail if it is not what the sources make

import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const common = { bundle: true, write: false, minify: true, charset: "utf8", target: "es2022" };

// A worker is a script of its own.  Its text travels in the bundle: opened from a disk, a page
// can begin a worker only from what it holds itself, and only a classic one.
const worker = {
  name: "worker",
  setup(bundler) {
    bundler.onLoad({ filter: /worker\.mjs$/ }, async ({ path }) => {
      const made = await build({ ...common, entryPoints: [path], format: "iife" });
      return { contents: made.outputFiles[0].text, loader: "text" };
    });
  },
};

/** The licences of everything that is in a bundle. */
function licences(inputs) {
  const packages = new Set();
  for (const input of Object.keys(inputs)) {
    const match = /node_modules\/([^/]+)\//.exec(input);
    if (match) packages.add(match[1]);
  }
  const texts = new Map();
  for (const name of [...packages].sort()) {
    const folder = join(here, "node_modules", name);
    const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    const text = readFileSync(join(folder, file), "utf8").trim();
    texts.set(text, [...(texts.get(text) ?? []), `${name} ${version}`]);
  }
  return [...texts].map(([text, names]) => `${names.join(", ")}\n\n${text}`).join("\n\n");
}

for (const name of ["view.mjs", "sweep.mjs"]) {
  const made = await build({
    ...common,
    entryPoints: [join(here, "src", name)],
    format: "esm",
    loader: { ".css": "text" },
    plugins: [worker],
    metafile: true,
    legalComments: "none",
  });
  const head = `/*! Made by page/build.mjs from page/src; do not change by hand.\n\nIt holds:\n\n${licences(made.metafile.inputs)}\n*/\n`;
  // a script that stands in a page must not hold the end of one
  const text = (head + made.outputFiles[0].text).replaceAll("</script", "<\\/script");
  const target = join(here, "../src/carrynet/report", name);
  if (process.argv.includes("--check")) {
    if (!existsSync(target) || readFileSync(target, "utf8") !== text) {
      console.error(`${name} is not what page/src makes: run 'npm run build' in page/`);
      process.exit(1);
    }
  } else {
    writeFileSync(target, text);
  }
  console.log(`${name}: ${(text.length / 1024).toFixed(0)} KB`);
}
