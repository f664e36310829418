// Asks a model over /v1/chat/completions, and collects what comes: text, reasoning, calls of tools, probabilities.

export function apiHeaders(csrfToken) {
  return { "Content-Type": "application/json", "X-CSRF-Token": csrfToken };
}

export async function refusal(response, words) {
  if (response.status === 401) location.reload();
  const body = await response.json().catch(() => null);
  const error = new Error(body?.error?.message ?? words.failed.replace("{status}", String(response.status)));
  error.status = response.status;
  return error;
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  while (true) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data: ") && line !== "data: [DONE]") yield JSON.parse(line.slice(6));
    }
  }
}

function addCalls(calls, deltas) {
  for (const delta of deltas) {
    const call = (calls[delta.index] ??= { id: "", type: "function", function: { name: "", arguments: "" } });
    call.id = delta.id ?? call.id;
    call.function.name += delta.function?.name ?? "";
    call.function.arguments += delta.function?.arguments ?? "";
  }
}

// Returns what came, also of an answer that failed or was stopped: then `problem` says why.
export async function ask(request, { csrfToken, words, signal, onText, onReasoning }) {
  const began = performance.now();
  const came = {
    text: [], reasoning: [], calls: [], tokens: [], annotations: [], id: "", usage: null, reason: null, problem: null,
    version: "", receipt: "", run: "",
  };
  let firstAt = null;
  try {
    const response = await fetch("/v1/chat/completions", {
      method: "POST",
      headers: apiHeaders(csrfToken),
      body: JSON.stringify({ ...request, stream: true, stream_options: { include_usage: true } }),
      signal,
    });
    if (!response.ok) throw await refusal(response, words);
    came.version = response.headers.get("llmos-version") ?? "";
    came.receipt = response.headers.get("x-llmos-receipt")?.split("/").at(-2) ?? "";
    for await (const event of events(response.body)) {
      if (event.error) throw new Error(event.error.message);
      came.id = event.id ?? came.id;
      came.usage = event.usage ?? came.usage;
      came.run = event.run?.id ?? came.run;
      const choice = event.choices?.[0];
      came.reason = choice?.finish_reason ?? came.reason;
      const delta = choice?.delta ?? {};
      if (delta.reasoning_content) {
        came.reasoning.push(delta.reasoning_content);
        onReasoning(delta.reasoning_content);
      }
      if (delta.tool_calls) addCalls(came.calls, delta.tool_calls);
      if (delta.annotations) came.annotations.push(...delta.annotations);
      for (const each of choice?.logprobs?.content ?? []) came.tokens.push([each.token, Math.exp(each.logprob)]);
      if (!delta.content) continue;
      firstAt ??= performance.now();
      came.text.push(delta.content);
      onText(delta.content);
    }
  } catch (error) {
    came.problem = error;
  }
  const ended = performance.now();
  const rate = came.usage && firstAt !== null && came.usage.completion_tokens > 1
    ? (came.usage.completion_tokens - 1) / ((ended - firstAt) / 1000) : null;
  return { ...came, text: came.text.join(""), reasoning: came.reasoning.join(""), seconds: (ended - began) / 1000, rate };
}

// The facts about an answer that are stored with its message.
export function factsOf(came, request) {
  const facts = {
    version: came.version || undefined,
    receipt: came.reason ? came.receipt || undefined : undefined,
    tokens: came.usage?.completion_tokens,
    cost: came.usage?.cost ?? undefined,
    currency: came.usage?.cost ? came.usage.currency : undefined,
    seconds: Math.round(came.seconds * 1000) / 1000,
    rate: came.rate === null ? undefined : Math.round(came.rate * 10) / 10,
    seed: request.seed,
    is_cut: came.reason === "length" || undefined,
    is_stopped: came.problem?.name === "AbortError" || undefined,
    problem: came.problem && came.problem.name !== "AbortError" ? came.problem.message : undefined,
    probabilities: came.tokens.length ? came.tokens.map(([token, p]) => [token, Math.round(p * 1e4) / 1e4]) : undefined,
    run: came.run || undefined,
    annotations: came.annotations.length ? came.annotations : undefined,
  };
  return JSON.parse(JSON.stringify(facts));
}

export function showFacts(line, facts, words) {
  const numbers = new Intl.NumberFormat(document.documentElement.lang, { maximumFractionDigits: 1 });
  const add = (text) => line.append(Object.assign(document.createElement("span"), { textContent: text }));
  const filled = (name, value) => add(words[name].replace("{n}", typeof value === "number" ? numbers.format(value) : value));
  if (facts.tokens !== undefined) filled("tokens", facts.tokens);
  if (facts.seconds !== undefined) filled("seconds", facts.seconds);
  if (facts.rate !== undefined) filled("rate", facts.rate);
  if (facts.cost !== undefined) add(`${facts.cost} ${facts.currency ?? ""}`);
  if (facts.version) add(facts.version);
  if (facts.seed !== undefined) filled("seed", String(facts.seed));
  if (facts.is_cut) add(words.length);
  if (facts.is_stopped) add(words.stopped);
  if (facts.receipt) {
    line.append(Object.assign(document.createElement("a"), {
      href: `/console/chat/receipts/${encodeURIComponent(facts.receipt)}`, textContent: words.receipt,
    }));
  }
}
