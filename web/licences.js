// The licences of what Download Weights gets, on the node, and the button by which a person agrees to them.
import { app } from "../../scripts/app.js";

const NODE = "OSDFaceDownloadWeights";
const ADDRESS = "/osdface/licences";
const ENGLISH = {
  agree: "I agree to these licences",
  agreed: "agreed, not here yet",
  here: "on this machine",
  missing: "not here",
};

let texts;

async function words() {
  texts ??= app.api.getCustomNodesI18n?.().catch(() => ({})) ?? {};
  const locale = app.extensionManager?.setting?.get("Comfy.Locale");
  return { ...ENGLISH, ...(await texts)[locale]?.OSDFaceLicences };
}

const chosen = (node) => node.widgets.find((widget) => widget.name === "weights")?.value;

function paragraph(entry, say) {
  const line = document.createElement("p");
  const name = document.createElement("b");
  const state = entry.here ? say.here : entry.agreed ? say.agreed : say.missing;
  name.textContent = `${entry.name} (${state})`;
  line.append(name, document.createElement("br"), entry.about);
  line.style.margin = "0 0 8px";
  return line;
}

async function refresh(node) {
  const wanted = chosen(node);
  const query = new URLSearchParams({ weights: wanted });
  const [answer, say] = await Promise.all([app.api.fetchApi(`${ADDRESS}?${query}`), words()]);
  if (!answer.ok || chosen(node) !== wanted) return;
  const entries = await answer.json();
  const asked = entries.filter((entry) => !entry.here && !entry.agreed);
  const button = document.createElement("button");
  button.textContent = say.agree;
  button.style.cssText =
    "background: var(--comfy-menu-bg); border: 1px solid var(--border-color); bottom: -4px; color: var(--input-text); " +
    "cursor: pointer; padding: 6px 10px; position: sticky; width: 100%";
  button.onclick = async () => {
    const read = Object.fromEntries(asked.map((entry) => [entry.name, entry.licence]));
    const headers = { "Content-Type": "application/json" };
    await app.api.fetchApi(ADDRESS, { method: "POST", headers, body: JSON.stringify(read) });
    await refresh(node);
  };
  node.licences.replaceChildren(...entries.map((entry) => paragraph(entry, say)), ...(asked.length ? [button] : []));
}

app.registerExtension({
  name: "OSDFace.Licences",
  nodeCreated(node) {
    if (node.comfyClass !== NODE) return;
    node.licences = document.createElement("div");
    node.licences.style.cssText =
      "box-sizing: border-box; color: var(--input-text); font-size: 12px; " +
      "overflow: auto; overflow-wrap: anywhere; padding: 4px 8px";
    const options = { getMinHeight: () => 300, serialize: false };
    node.addDOMWidget("licences", "licences", node.licences, options).serialize = false;
    const weights = node.widgets.find((widget) => widget.name === "weights");
    const others = weights.callback;
    weights.callback = function () {
      others?.apply(this, arguments);
      refresh(node);
    };
    const configured = node.onConfigure;
    node.onConfigure = function () {
      configured?.apply(this, arguments);
      refresh(node);
    };
    const executed = node.onExecuted;
    node.onExecuted = function () {
      executed?.apply(this, arguments);
      refresh(node);
      app.refreshComboInNodes(); // the loaders see what has come
    };
    refresh(node);
  },
});
