// The node's page: what /status, /merges, /kv and a few commands say. Texts of clients are only ever set as text.
"use strict";

const COLOURS = ["#2f7fd8", "#e08a1e", "#2e9e6b", "#c2478d", "#7a62d3", "#a8852a", "#1f9fb5", "#d2553f", "#6b8e23", "#8c6b5a"];
const MERGES_SHOWN = 100;
const STATUS_EVERY_MS = 2000;
const ROWS_SHOWN = 500;
const PAGES_AT_ONCE = 50;
const SHOW_AGAIN_MS = 1000;

const by = (id) => document.getElementById(id);
const colour = (place) => COLOURS[place % COLOURS.length];

/** An element with attributes and children; a text is only ever a text. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** What a node says; its own words if it refuses. */
async function ask(path, options) {
  const response = await fetch(path, options);
  const text = await response.text();
  const isJson = (response.headers.get("content-type") || "").includes("json");
  const body = isJson && text ? JSON.parse(text) : text;
  if (!response.ok && response.status !== 300) throw new Error(body && body.message ? body.message : `${response.status} ${text}`);
  return { body, response, text };
}

async function command(...words) {
  const { body } = await ask("command", {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(words),
  });
  return body.reply;
}

/** A text of the data, or how its bytes are written. */
const shown = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : String(value));

function trouble(message) {
  by("trouble").hidden = !message;
  by("trouble").textContent = message || "";
}

// The cluster

let before = null;

function figures(status) {
  const now = performance.now();
  const rate = before ? Math.max(0, (status.commands - before.commands) / ((now - before.at) / 1000)) : 0;
  before = { commands: status.commands, at: now };
  const all = [
    ["keys", status.keys === null ? "?" : status.keys.toLocaleString()], ["commands/s", Math.round(rate).toLocaleString()],
    ["clients", status.clients], ["merges", status.merges.toLocaleString()], ["replicas", status.replicas],
    ["up", duration(status.uptime_s)], ["version", status.version],
  ];
  by("figures").replaceChildren(...all.map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, String(value)))));
}

function duration(seconds) {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const [size, unit] = parts.find(([size]) => seconds >= size) || parts[3];
  return `${Math.floor(seconds / size)} ${unit}`;
}

/** One path per run of partitions with the same coordinator. */
function ring(status) {
  const count = status.owners.length;
  const point = (partition, radius) => {
    const angle = (partition / count) * 2 * Math.PI - Math.PI / 2;
    return `${(radius * Math.cos(angle)).toFixed(2)} ${(radius * Math.sin(angle)).toFixed(2)}`;
  };
  const coordinator = (owners) => owners.find((place) => status.members[place].alive);
  const paths = [];
  for (let from = 0; from < count;) {
    const place = coordinator(status.owners[from]);
    let to = from + 1;
    while (to < count && to - from < count / 2 && coordinator(status.owners[to]) === place) to += 1;
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", `M ${point(from, 100)} A 100 100 0 0 1 ${point(to, 100)} L ${point(to, 62)} A 62 62 0 0 0 ${point(from, 62)} Z`);
    path.setAttribute("fill", place === undefined ? "currentColor" : colour(place));
    const names = status.owners[from].map((owner) => status.members[owner].name).join(", ") || "nobody";
    const told = `partition ${from}: owners ${names}`;
    path.addEventListener("pointerenter", () => { by("partition").textContent = told; });
    paths.push(path);
    from = to;
  }
  by("ring").replaceChildren(...paths);
}

function members(status) {
  const counts = (lists, place, first) => lists.filter((list) => (first ? list[0] === place : list.includes(place))).length;
  const lacks = new Map(Array.isArray(status.entropy) ? status.entropy.map((entry) => [entry.node, entry]) : []);
  const cut = new Set(status.faults.cut);
  const rows = status.members.map((member, place) => {
    const lack = lacks.get(member.name);
    const state = cut.has(member.name) ? ["warn", "cut off"] : member.alive ? ["good", "answers"] : ["bad", "silent"];
    const number = (value) => element("td", { class: value ? "warn" : "quiet" }, value === undefined ? "-" : value.toLocaleString());
    const button = status.faults.allowed && !cut.has(member.name)
      ? element("button", { type: "button", onclick: () => fault("CUT", ...cut, member.name) }, "cut") : null;
    return element("tr", {},
      element("td", {}, mark(place), member.name + (member.name === status.node ? " (this node)" : "")),
      element("td", { class: state[0] }, state[1], " ", button),
      element("td", {}, String(counts(status.owners, place, false))),
      element("td", {}, String(counts(status.owners, place, true))),
      number(counts(status.filling, place, false)),
      number(lack && lack["missing-there"]), number(lack && lack["missing-here"]),
      element("td", { class: "quiet" }, member.client_address));
  });
  by("members").replaceChildren(...rows);
  by("faults").hidden = !(status.faults.allowed && cut.size > 0);
  by("placement").textContent = status.layout && status.layout.placement ? `Placement: ${status.layout.placement}.` : "";
}

/** A dot in a node's colour: styles come from scripts here, as the page's policy allows no others. */
function mark(place) {
  const made = element("span", { class: "dot" });
  made.style.background = colour(place);
  return made;
}

async function fault(...words) {
  try {
    await command("DOT.FAULT", ...words);
    await refresh();
  } catch (error) {
    trouble(error.message);
  }
}

async function refresh() {
  try {
    const { body: status } = await ask("status");
    by("node").textContent = `node ${status.node}`;
    document.title = `Dotted: ${status.node}`;
    figures(status);
    ring(status);
    members(status);
    trouble("");
  } catch (error) {
    trouble(`This node does not answer: ${error.message}`);
  }
}

// Keys

let cursor = "0";
let chosen = null;

async function look(more) {
  const parameters = new URLSearchParams({ matching: by("pattern").value || "*", count: "200" });
  if (by("conflicts").checked) parameters.set("conflicts", "true");
  if (!more) cursor = "0";
  try {
    const found = [];
    // A page has the keys among so many that match: perhaps none.
    for (let pages = 0; pages < PAGES_AT_ONCE && !found.length; pages += 1) {
      parameters.set("cursor", cursor);
      const { body } = await ask(`kv?${parameters}`);
      found.push(...body.keys);
      cursor = String(body.cursor);
      if (cursor === "0") break;
    }
    const rows = found.map((key) => element("li", {}, element("button", {
      type: "button", "data-key": shown(key), onclick: () => show(key),
    }, shown(key))));
    if (!more) by("keys").replaceChildren();
    by("keys").querySelector(".quiet")?.remove();
    by("keys").append(...rows);
    const none = cursor === "0" ? "No key." : "No key so far.";
    if (!by("keys").children.length) by("keys").append(element("li", { class: "quiet" }, none));
    by("more").hidden = cursor === "0";
  } catch (error) {
    trouble(error.message);
  }
}

async function show(key) {
  chosen = key;
  by("key").dataset.shown = String(performance.now());
  const turn = by("key").dataset.shown;
  if (typeof key === "string") history.replaceState(null, "", "#" + encodeURIComponent(key));
  for (const button of by("keys").querySelectorAll("button")) {
    button.toggleAttribute("aria-current", button.dataset.key === shown(key));
  }
  const parts = [element("h3", {}, shown(key))];
  try {
    parts.push(...(await contents(key)), ...(await owners(key)));
  } catch (error) {
    parts.push(element("p", { class: "bad" }, error.message));
  }
  if (by("key").dataset.shown === turn) by("key").replaceChildren(...parts);
}

/** Shows a key again that has changed; what somebody is writing there stays, and is told so. */
let showsAgain = null;
function changed(key) {
  if (showsAgain !== null) return;
  showsAgain = setTimeout(() => {
    showsAgain = null;
    const field = by("key").querySelector("textarea");
    if (field && field.value !== field.dataset.was) {
      if (!by("key").querySelector(".changed")) by("key").prepend(element("p", { class: "warn changed" }, "It has changed meanwhile."));
    } else if (chosen === key) show(key);
  }, SHOW_AGAIN_MS);
}

/** The key in the page's address. */
function showNamed() {
  if (location.hash.length < 2) return;
  try { show(decodeURIComponent(location.hash.slice(1))); } catch { trouble("The address names no key: a % stands for itself as %25."); }
}

async function contents(key) {
  const type = await command("TYPE", key);
  if (type === "none") return [element("p", { class: "quiet" }, "There is nothing under this name (any more).")];
  const kind = element("p", { class: "quiet" }, `type ${type}`);
  if (type !== "string") {
    const read = { hash: ["HGETALL"], set: ["SMEMBERS"], list: ["LRANGE", 0, -1], zset: ["ZRANGE", 0, -1, "WITHSCORES"] }[type];
    return [kind, cells(type, await command(read[0], key, ...read.slice(1)))];
  }
  const seen = await command("DOT.GET", key);
  const several = seen.siblings.length > 1;
  const told = several
    ? element("p", { class: "warn" }, `${seen.siblings.length} siblings: they were written without knowing of each other.`) : null;
  const siblings = seen.siblings.map((sibling) => element("div", { class: "sibling" },
    element("pre", {}, shown(sibling.value)),
    element("p", { class: "quiet" }, `dot ${sibling.dot}, by ${sibling.node} at ${new Date(sibling.at).toLocaleString()} `,
      several ? element("button", { type: "button", onclick: () => write(key, sibling.value, seen.context) }, "keep this one") : null)));
  const field = element("textarea", { "aria-label": "value", spellcheck: "false" });
  field.value = seen.siblings.map((sibling) => shown(sibling.value)).join("\n");
  field.dataset.was = field.value;
  // A field of text would change other bytes, and ends of lines, that nobody has touched.
  const isText = seen.siblings.every((sibling) => typeof sibling.value === "string");
  const untouched = () => !several && seen.siblings.length && field.value === field.dataset.was;
  const save = element("button", { type: "button", onclick: () => write(key, untouched() ? seen.siblings[0].value : field.value, seen.context) },
    several ? "write this in place of all of them" : "write");
  const edit = isText ? [field, save] : [element("p", { class: "quiet" }, "It is no text: write it with another client.")];
  return [kind, told, ...siblings, ...edit].filter(Boolean);
}

/** Hashes, sets, sorted sets, lists and streams as tables. */
function cells(type, value) {
  const rows = type === "hash" && !Array.isArray(value) ? Object.entries(value)
    : type === "list" ? value.map((item, index) => [index, item]) : type === "set" ? value.map((item) => [item]) : value;
  const body = rows.slice(0, ROWS_SHOWN).map((row) =>
    element("tr", {}, ...row.map((cell) => element("td", {}, element("pre", {}, shown(cell))))));
  const rest = rows.length > ROWS_SHOWN ? element("p", { class: "quiet" }, `and ${rows.length - ROWS_SHOWN} more`) : null;
  return element("div", { class: "scrolls" }, element("table", {}, element("tbody", {}, ...body)), rest);
}

/** Replaces exactly what this page has shown. */
async function write(key, value, context) {
  try {
    await command("DOT.SET", key, context || "-", value);
    await show(key);
  } catch (error) {
    by("key").prepend(element("p", { class: "bad" }, error.message));
  }
}

/** Where each owner stands, as DOT.EXPLAIN says it. */
async function owners(key) {
  const { slot, partition, owners: all, ...rest } = await command("DOT.EXPLAIN", key);
  const order = rest["preference-list"] || [];
  const told = element("p", { class: "quiet" }, `slot ${slot}, partition ${partition}, preference list ${order.join(", ")}`);
  const cells = (list) => list.map(({ cell, dots }) => `${cell}: ${dots.join(" ")}`).join("\n");
  const rows = all.map((owner) => (Array.isArray(owner.cells) ? { ...owner, cells: cells(owner.cells) } : owner));
  return [element("h3", {}, "owners"), told, table(rows)];
}

/** Objects as rows, under the names of which any of them says something. */
function table(rows) {
  const says = (value) => value !== null && value !== "" && !(Array.isArray(value) && value.length === 0);
  const names = [...new Set(rows.flatMap((row) => Object.keys(row).filter((name) => says(row[name]))))];
  return element("div", { class: "scrolls" }, element("table", {},
    element("thead", {}, element("tr", {}, ...names.map((name) => element("th", {}, name)))),
    element("tbody", {}, ...rows.map((row) =>
      element("tr", {}, ...names.map((name) => element("td", {}, element("pre", {}, row[name] === undefined ? "" : shown(row[name])))))))));
}

// Merges

function follow() {
  const merges = new EventSource("merges");
  merges.onmessage = (message) => {
    let merge;
    try { merge = JSON.parse(message.data); } catch { return; } // anybody may publish there
    if (!merge || !Array.isArray(merge.in) || !Array.isArray(merge.out) || !Array.isArray(merge.siblings)) return;
    const list = by("merges");
    list.querySelector(".quiet")?.remove();
    const part = merge.field ?? merge.member;
    const [was, is] = merge.siblings;
    const text = `${new Date().toLocaleTimeString()}  ${merge.key}${part === undefined ? "" : ` / ${part}`}  (${merge.type}) `
      + `from ${merge.from}: +${merge.in.length} −${merge.out.length} dots, siblings ${was} → ${is}`;
    list.prepend(element("li", { class: is > 1 ? "warn" : "" }, text));
    while (list.children.length > MERGES_SHOWN) list.lastChild.remove();
    if (merge.key === chosen) changed(chosen);
  };
}

by("search").addEventListener("submit", (event) => { event.preventDefault(); look(false); });
by("conflicts").addEventListener("change", () => look(false));
by("more").addEventListener("click", () => look(true));
by("heal").addEventListener("click", () => fault("HEAL"));
refresh();
look(false).then(showNamed);
window.addEventListener("hashchange", showNamed);
follow();
setInterval(() => { if (!document.hidden) refresh(); }, STATUS_EVERY_MS);
