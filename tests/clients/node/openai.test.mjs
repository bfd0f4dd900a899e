// OpenAI's client for Node, as it is on npm.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { BASE_URL, callsWeather, collected, ECHO, HELLO, KEY, MODEL, PIXEL, script } from "./scripts.mjs";

const client = new OpenAI({ baseURL: BASE_URL, apiKey: KEY, maxRetries: 0 });
const completions = client.chat.completions;

const says = (content) => [{ role: "user", content }];

const tools = [
  {
    type: "function",
    function: {
      name: "weather",
      parameters: { type: "object", properties: { place: { type: "string" } }, required: ["place"] },
    },
  },
];

const Forecast = z.object({ place: z.string(), degrees: z.array(z.number()) });
const FORECAST = { place: "Bahir Dar", degrees: [21, 22.5] };

test("a prompt is answered", async () => {
  const completion = await completions.create({ model: MODEL, messages: says(HELLO) });
  assert.equal(completion.choices[0].message.content, "ሰላም 👋");
  assert.equal(completion.choices[0].finish_reason, "stop");
  assert.equal(completion.usage.completion_tokens, 2);
  assert.ok(completion._request_id);
});

test("a stream arrives delta by delta, and its usage last", async () => {
  const chunks = await collected(
    await completions.create({
      model: MODEL,
      messages: says(HELLO),
      stream: true,
      stream_options: { include_usage: true },
    }),
  );
  const usage = chunks.pop();
  const deltas = chunks.map((chunk) => chunk.choices[0].delta.content).filter(Boolean);
  assert.deepEqual(deltas, ["ሰላም ", "👋"]);
  assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
  assert.equal(usage.usage.completion_tokens, 2);
});

test("a stream's events add up to a completion", async () => {
  const deltas = [];
  const stream = completions
    .stream({ model: MODEL, messages: says(HELLO) })
    .on("content", (delta) => deltas.push(delta));
  assert.equal(await stream.finalContent(), "ሰላም 👋");
  assert.equal(deltas.join(""), "ሰላም 👋");
});

test("tools are called at once and their results reach the model", async () => {
  const messages = says(callsWeather("Gondar", "Axum"));
  const [asked] = (await completions.create({ model: MODEL, messages, tools })).choices;
  assert.equal(asked.finish_reason, "tool_calls");
  const calls = asked.message.tool_calls;
  assert.deepEqual(
    calls.map((call) => JSON.parse(call.function.arguments)),
    [{ place: "Gondar" }, { place: "Axum" }],
  );
  const results = calls.map(({ id }, at) => ({ role: "tool", tool_call_id: id, content: `${at}°` }));
  const history = [...messages, asked.message, ...results];
  const [answer] = (await completions.create({ model: MODEL, messages: history, tools })).choices;
  assert.equal(answer.finish_reason, "stop");

  const [echoed] = (
    await completions.create({ model: MODEL, messages: [...history, ...says(ECHO)], tools })
  ).choices;
  const told = JSON.parse(echoed.message.content).messages.filter(({ role }) => role === "tool");
  assert.deepEqual(
    told.map((each) => [each.tool_call_id, each.text]),
    [[calls[0].id, "0°"], [calls[1].id, "1°"]],
  );
});

test("arguments of calls are streamed in pieces", async () => {
  const pieces = [];
  const stream = completions
    .stream({ model: MODEL, messages: says(callsWeather("Lalibela", "Harar")), tools })
    .on("tool_calls.function.arguments.delta", (event) => pieces.push(event));
  const { tool_calls: calls } = await stream.finalMessage();
  for (const [index, place] of ["Lalibela", "Harar"].entries()) {
    const own = pieces.filter((piece) => piece.index === index);
    assert.deepEqual(JSON.parse(calls[index].function.arguments), { place });
    assert.ok(own.length > 1);
    assert.equal(own.map((piece) => piece.arguments_delta).join(""), calls[index].function.arguments);
  }
  assert.notEqual(calls[0].id, calls[1].id);
});

test("tools are run by the client until there is an answer", async () => {
  const places = [];
  const weather = ({ place }) => places.push(place);
  const runner = completions.runTools({
    model: MODEL,
    messages: says(callsWeather("Gondar", "Axum")),
    tools: [zodFunction({ name: "weather", parameters: z.object({ place: z.string() }), function: weather })],
  });
  assert.ok(await runner.finalContent());
  assert.deepEqual(places, ["Gondar", "Axum"]);
});

test("a reply is parsed by a schema", async () => {
  const response_format = zodResponseFormat(Forecast, "forecast");
  const parsed = await completions.parse({
    model: MODEL,
    messages: says(script({ text: JSON.stringify(FORECAST) })),
    response_format,
  });
  assert.deepEqual(parsed.choices[0].message.parsed, FORECAST);
  const fitting = await completions.parse({ model: MODEL, messages: says("Hello."), response_format });
  assert.ok(fitting.choices[0].message.parsed);
});

test("a picture reaches the model", async () => {
  const completion = await completions.create({
    model: MODEL,
    messages: says([
      { type: "text", text: ECHO },
      { type: "image_url", image_url: { url: PIXEL } },
    ]),
  });
  const [told] = JSON.parse(completion.choices[0].message.content).messages;
  assert.ok(told.parts.some((part) => part.url === PIXEL));
});

test("several replies and their probabilities come side by side", async () => {
  const completion = await completions.create({
    model: MODEL,
    messages: says(HELLO),
    n: 2,
    logprobs: true,
    top_logprobs: 1,
  });
  for (const choice of completion.choices) {
    const tokens = choice.logprobs.content.map(({ token }) => token);
    assert.deepEqual([choice.message.content, tokens], ["ሰላም 👋", ["ሰላም ", "👋"]]);
  }
  assert.equal(completion.choices.length, 2);
});

test("a stored completion is listed, read, updated and deleted", async () => {
  const metadata = { client: "openai-node" };
  const { id } = await completions.create({ model: MODEL, messages: says(HELLO), store: true, metadata });
  assert.equal((await completions.retrieve(id)).choices[0].message.content, "ሰላም 👋");
  const listed = await collected(completions.list({ metadata }));
  assert.deepEqual(listed.map((each) => each.id), [id]);
  const messages = await collected(completions.messages.list(id));
  assert.deepEqual(messages.map((each) => each.content), [HELLO]);
  assert.deepEqual((await completions.update(id, { metadata: { a: "b" } })).metadata, { a: "b" });
  assert.equal((await completions.delete(id)).deleted, true);
  await assert.rejects(completions.retrieve(id), OpenAI.NotFoundError);
});

test("each status is an error of its own", async () => {
  const create = (content, more = {}) =>
    completions.create({ model: MODEL, messages: says(content), ...more });
  await assert.rejects(create("Hello.", { temperature: 3 }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, "temperature");
    assert.ok(error.requestID);
    return true;
  });
  const stranger = client.withOptions({ apiKey: "sk_test_wrong" });
  await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
  await assert.rejects(create(script({ fail: "throttled" })), OpenAI.RateLimitError);
  await assert.rejects(create(script({ fail: "unavailable" })), OpenAI.InternalServerError);
  const broken = await create(script({ text: "half" }, { fail: "error" }), { stream: true });
  await assert.rejects(collected(broken), OpenAI.APIError);
});

test("a stream that the client leaves ends without an error", async () => {
  const stream = await completions.create({
    model: MODEL,
    messages: says(script({ text: "first" }, { wait: 60 })),
    stream: true,
  });
  for await (const chunk of stream) {
    if (chunk.choices[0].delta.content === "first") break;
  }
  assert.ok(stream.controller.signal.aborted);
});

test("the models are listed", async () => {
  const listed = await collected(client.models.list());
  assert.ok(listed.some(({ id }) => id === "scripted"));
  assert.equal((await client.models.retrieve("scripted")).id, "scripted");
});
