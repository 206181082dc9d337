// What nodes offer and say, in the language that the page is set to: OSDFaceTexts in locales/*/main.json has every
// English text, with {} for whatever stands in it.
import { app } from "../../scripts/app.js";

let texts = {};
let patterns = [];

const escaped = (text) => text.replace(/[.*+?^$()|[\]\\/{}]/g, "\\$&");

function part(text) {
  if (texts[text]) return texts[text];
  for (const [pattern, translation] of patterns) {
    const found = text.match(pattern);
    if (found) return found.slice(1).reduce((said, value) => said.replace("{}", () => part(value)), translation);
  }
  return text;
}

const parts = (line) => line.split("; ").map(part).join("; ");

export const translated = (text) => text.split("\n").map(parts).join("\n");

app.registerExtension({
  name: "OSDFace.Texts",
  async init() {
    const known = (await app.api.getCustomNodesI18n?.().catch(() => ({}))) ?? {};
    texts = known[app.extensionManager?.setting?.get("Comfy.Locale")]?.OSDFaceTexts ?? {};
    patterns = Object.entries(texts)
      .filter(([english]) => english.includes("{}"))
      .map(([english, said]) => [new RegExp(`^${english.split("{}").map(escaped).join("(.+?)")}$`), said]);
  },
  nodeCreated(node) {
    if (!node.comfyClass?.startsWith("OSDFace") || !Object.keys(texts).length) return;
    for (const widget of node.widgets ?? []) {
      if (widget.type === "combo") widget.options.getOptionLabel = (value) => texts[value] ?? value ?? "";
    }
  },
});
