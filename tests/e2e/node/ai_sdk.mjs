// The AI SDK against the running program with a cache: each answer streamed, streamed again out
// of the cache, and whole out of it; prints one JSON line a step.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, jsonSchema, streamText, tool } from "ai";

const [baseURL, apiKey, model] = process.argv.slice(2);
let caches = [];
const watched = async (...asked) => {
  const answer = await fetch(...asked);
  caches.push(answer.headers.get("x-sidestream-cache"));
  return answer;
};
const openai = createOpenAI({ baseURL, apiKey, fetch: watched });
const compatible = createOpenAICompatible({ name: "sidestream", baseURL, apiKey, fetch: watched, includeUsage: true });
const common = { temperature: 0, maxRetries: 0, providerOptions: { openai: { store: false } } };
const tools = { hello: tool({ inputSchema: jsonSchema({ type: "object" }) }) };

const made = (text, calls, finish, usage) => ({ text, calls: calls.map((c) => [c.toolName, c.input]), finish, usage });
const streamed = async (asked) => {
  const stream = streamText({ ...common, ...asked, onError: () => {} });
  const parts = [];
  for await (const part of stream.fullStream) {
    if (part.type === "error") throw part.error;
    parts.push(part.type);
  }
  return [parts.join(" "), made(await stream.text, await stream.toolCalls, await stream.finishReason, await stream.totalUsage)];
};
const whole = async (asked) => {
  const said = await generateText({ ...common, ...asked });
  return made(said.text, said.toolCalls, said.finishReason, said.totalUsage);
};
const same = (a, b) => {
  if (JSON.stringify(a) !== JSON.stringify(b)) throw new Error(`${JSON.stringify(a)} is not ${JSON.stringify(b)}`);
};
const step = async (name, wanted, work) => {
  try {
    caches = [];
    const said = await work();
    same(caches, wanted);
    console.log(JSON.stringify({ name, ok: true, said: said.slice(0, 70) }));
  } catch (error) {
    console.log(JSON.stringify({ name, ok: false, said: String(error).slice(0, 400) }));
  }
};

const ways = { chat: openai.chat(model), responses: openai.responses(model), completions: openai.completion(model), compatible: compatible(model) };
for (const [name, way] of Object.entries(ways)) {
  const asks = { text: { prompt: `Say something to ${name}` }, tool: { prompt: `Say hello to ${name}`, tools } };
  if (name === "completions") delete asks.tool;
  for (const [what, more] of Object.entries(asks)) {
    const asked = { model: way, ...more };
    await step(`${name}, ${what}`, ["miss", "hit", "hit"], async () => {
      const [parts, first] = await streamed(asked);
      const [again, second] = await streamed(asked);
      same([again, second], [parts, first]);
      // A whole answer that was streamed has its usage only where the stream had one.
      same({ ...(await whole(asked)), usage: 0 }, { ...first, usage: 0 });
      if (what === "tool") same(first.calls.map((c) => c[0]), ["hello"]);
      return first.text || JSON.stringify(first.calls);
    });
    await step(`${name}, ${what}, out of JSON`, ["miss", "hit"], async () => {
      const other = { ...asked, prompt: `${more.prompt} once more` };
      const first = await whole(other);
      same((await streamed(other))[1], first);
      return first.text || JSON.stringify(first.calls);
    });
  }
}
await step("embeddings", ["miss", "partial"], async () => {
  const one = await embedMany({ model: openai.embedding(model), values: ["a", "b"], maxRetries: 0 });
  const two = await embedMany({ model: openai.embedding(model), values: ["b", "c", "a"], maxRetries: 0 });
  same([two.embeddings[2], two.embeddings[0]], one.embeddings);
  return `${two.embeddings.length} vectors`;
});
