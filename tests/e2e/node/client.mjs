// The official Node client against the running program; prints one JSON line a step.
import OpenAI, { AuthenticationError, NotFoundError } from "openai";

const [baseURL, apiKey, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: "Count from one to five in words." }];
const step = async (name, work) => {
  const began = Date.now();
  try {
    const said = await work();
    console.log(JSON.stringify({ name, ok: true, said: String(said).slice(0, 70), ms: Date.now() - began }));
  } catch (error) {
    console.log(JSON.stringify({ name, ok: false, said: `${error.name}: ${error.message}`.slice(0, 200), ms: Date.now() - began }));
  }
};
const expect = async (kind, work) => {
  try { await work(); } catch (error) { if (error instanceof kind) return kind.name; throw error; }
  throw new Error(`no ${kind.name}`);
};

await step("chat", async () => {
  const r = await client.chat.completions.create({ model, messages, max_tokens: 16 });
  if (!r.usage.total_tokens) throw new Error("no usage");
  return r.choices[0].message.content;
});
await step("chat streamed", async () => {
  let text = "", usages = 0;
  for await (const e of await client.chat.completions.create({ model, messages, max_tokens: 16, stream: true })) {
    text += e.choices[0]?.delta?.content ?? "";
    usages += e.usage ? 1 : 0;
  }
  if (!text) throw new Error("no text");
  if (usages) throw new Error("a usage chunk nobody asked for");
  return text;
});
await step("responses streamed", async () => {
  let text = "", last = "";
  for await (const e of await client.responses.create({ model, input: "Say hi.", max_output_tokens: 16, stream: true })) {
    if (e.type === "response.output_text.delta") text += e.delta;
    last = e.type;
  }
  return `${last}: ${text}`;
});
await step("models", async () => (await client.models.list()).data.map((m) => m.id).join(", "));
await step("wrong key", () => expect(AuthenticationError, () => new OpenAI({ baseURL, apiKey: "sk-no", maxRetries: 0 }).models.list()));
await step("unknown model", () => expect(NotFoundError, () => client.chat.completions.create({ model: "nope", messages })));
await step("abort in mid-stream", async () => {
  const stream = await client.chat.completions.create({ model, messages: [{ role: "user", content: "Write a very long story." }], max_tokens: 900, stream: true });
  let seen = 0;
  for await (const _ of stream) if (++seen === 3) { stream.controller.abort(); break; }
  return `left after ${seen} events`;
});
