// What a run has to say, on the node that says it: a model's notice, the summary of a restoration, how far a download is.
import { app } from "../../scripts/app.js";
import { translated } from "./texts.js";

const NAME = "message";

// Of its lines, at a node's usual width; a video's many lines scroll.
function height(text) {
  const lines = text.split("\n").map((line) => Math.ceil(line.length / 38));
  return Math.min(12 + 15 * lines.reduce((sum, count) => sum + count), 140);
}

function show(node, output) {
  if (!node) return;
  const text = output?.text?.join("\n");
  const there = node.widgets?.find((widget) => widget.name === NAME);
  if (!text && there) node.removeWidget(there);
  if (!text) return;
  const element = there?.element ?? document.createElement("div");
  element.textContent = translated(text);
  if (there) return;
  Object.assign(element.style, {
    boxSizing: "border-box",
    color: "var(--input-text)",
    fontSize: "12px",
    overflow: "auto",
    padding: "4px 8px",
    whiteSpace: "pre-wrap",
  });
  const widget = node.addDOMWidget(NAME, "message", element, {
    getMinHeight: () => height(element.textContent),
    serialize: false,
  });
  widget.serialize = false; // of the workflow; the option is of the prompt
  const [width, tall] = node.computeSize();
  node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], tall)]);
}

const isOurs = (node) => node?.comfyClass?.startsWith("OSDFace");

// The frontend's name of a node: its number, after its subgraph's and a colon where it is in one.
function named(name) {
  const [number, subgraph] = name.split(":").reverse();
  const graph = subgraph ? app.rootGraph.subgraphs.get(subgraph) : app.rootGraph;
  return graph?.getNodeById(number);
}

const showAll = (outputs) =>
  Object.entries(outputs).forEach(([name, output]) => isOurs(named(name)) && show(named(name), output));

app.registerExtension({
  name: "OSDFace.Message",
  nodeCreated(node) {
    if (!isOurs(node)) return;
    const others = node.onExecuted;
    node.onExecuted = function (output) {
      others?.apply(this, arguments);
      show(this, output);
    };
    for (const widget of node.widgets ?? []) {
      const changed = widget.callback;
      widget.callback = function () {
        show(node, undefined); // it was said of other values
        return changed?.apply(this, arguments);
      };
    }
  },
  setup() {
    app.api.addEventListener("osdface.message", ({ detail }) => show(named(detail.node), { text: [detail.text] }));
  },
  // Its nodes are new: another tab comes to the front, a step is undone, an old run is opened.
  onNodeOutputsUpdated: showAll,
  afterConfigureGraph: () => showAll(app.nodeOutputs),
});
