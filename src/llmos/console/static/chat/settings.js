// The settings of requests: the fields beside the conversation, and the request that they make.

const NUMBERS = ["temperature", "top_p", "max_tokens", "seed"];
const TEXTS = ["model", "system", "tools", "schema", "knowledge"];

const field = (name) => document.getElementById(name);

function number(name) {
  return field(name).value.trim() === "" || !field(name).checkValidity() ? undefined : Number(field(name).value);
}

// The settings that are stored with a conversation, so that it continues with the same ones.
export function settings() {
  const kept = {};
  for (const name of TEXTS) if (field(name)?.value) kept[name] = field(name).value;
  for (const name of NUMBERS) if (number(name) !== undefined) kept[name] = number(name);
  if (field("probabilities").checked) kept.probabilities = true;
  return kept;
}

export function restore(kept) {
  for (const name of [...TEXTS, ...NUMBERS]) {
    const given = field(name);
    if (!given || kept[name] === undefined) continue;
    const has = given.tagName !== "SELECT" || [...given.options].some((option) => option.value === kept[name]);
    if (has) given.value = kept[name];
  }
  field("probabilities").checked = Boolean(kept.probabilities);
}

function parsed(name, message) {
  const text = field(name).value.trim();
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(message.replace("{reason}", error.message));
  }
}

function toolsOf(words) {
  const given = parsed("tools", words.bad_tools);
  if (given === null) return undefined;
  if (!Array.isArray(given)) throw new Error(words.bad_tools.replace("{reason}", "[…]"));
  return given.map((each) => (each?.function ? each : { type: "function", function: each }));
}

// Returns the request for a conversation. Throws an Error that says which field can't be read.
export function requestOf(messages, words, sources = "") {
  const schema = parsed("schema", words.bad_schema);
  const request = { model: field("model").value };
  for (const name of NUMBERS) request[name] = number(name);
  request.tools = toolsOf(words);
  if (schema !== null) request.response_format = { type: "json_schema", json_schema: { name: "answer", schema } };
  if (field("probabilities").checked) request.logprobs = true;
  request.messages = withSystem(messages, sources);
  return request;
}

export function withSystem(messages, sources = "") {
  const system = [field("system").value.trim(), sources].filter(Boolean).join("\n\n");
  return system === "" ? messages : [{ role: "system", content: system }, ...messages];
}

// View code: the request that the next message makes.
export function showCode(tree) {
  const last = tree.branch.findLast(({ message }) => message.role === "user")?.message ?? { role: "user", content: "Hello!" };
  let body;
  try {
    body = requestOf([last], { bad_tools: "", bad_schema: "" });
  } catch {
    return; // A field is being written.
  }
  for (const block of document.querySelectorAll("pre[data-before]")) {
    const json = JSON.stringify(body, null, 2);
    const isShell = block.dataset.kind === "curl";
    block.textContent = block.dataset.before + (isShell ? json.replaceAll("'", "'\\''") : json) + block.dataset.after;
  }
}
