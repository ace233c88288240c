// Where messages stand, stats, examples, access for owners, precheck and poller.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Svix } from "svix";
import { newUid, shop, svix, until, walk } from "./support.mjs";

test("messages of an endpoint and endpoints of a message are walked both ways", async (t) => {
  const { app, endpoint, receiver, send } = await shop(t);
  const messages = [];
  for (let n = 0; n < 3; n++) messages.unshift([(await send()).id]);
  for (let n = 0; n < 3; n++) await receiver.take();
  const ofEndpoint = (iterator) =>
    svix.messageAttempt.listAttemptedMessages(app.id, endpoint.id, { limit: 1, iterator });
  assert.deepEqual(await walk(ofEndpoint), { there: messages, back: messages });

  const another = await svix.endpoint.create(app.id, { url: receiver.url });
  const { id } = await send();
  const ofMessage = (iterator) =>
    svix.messageAttempt.listAttemptedDestinations(app.id, id, { limit: 1, iterator });
  const { there, back } = await walk(ofMessage);
  assert.deepEqual(there, back);
  assert.deepEqual(there.flat().sort(), [endpoint.id, another.id].sort());
});

test("stats count", async (t) => {
  const { app, endpoint, receiver, send } = await shop(t);
  await send();
  await receiver.take();
  const stats = await until(async () => {
    const stats = await svix.endpoint.getStats(app.id, endpoint.id);
    return stats.success === 1 && stats;
  });
  assert.deepEqual([stats.fail, stats.pending, stats.sending, stats.canceled], [0, 0, 0, 0]);
});

test("an example goes to its endpoint only", async (t) => {
  const { app, endpoint, receiver } = await shop(t);
  const eventType = newUid();
  const schemas = { 1: { type: "object", examples: [{ n: 7 }] } };
  await svix.eventType.create({ name: eventType, description: "x", schemas });
  await svix.endpoint.patch(app.id, endpoint.id, { eventTypes: ["something.else"] });
  const made = await svix.endpoint.sendExample(app.id, endpoint.id, { eventType });
  assert.deepEqual(made.payload, { n: 7 });
  assert.equal((await receiver.take()).headers["webhook-id"], made.id);
});

test("an owner reaches the own application only", async (t) => {
  const { app, endpoint } = await shop(t);
  const { app: other } = await shop(t);
  const { token, url } = await svix.authentication.appPortalAccess(app.id, {});
  assert.match(url, /^https?:/);
  const owner = new Svix(token, { serverUrl: process.env.POSTRIDER_URL, retryScheduleInMs: [] });
  assert.deepEqual((await owner.endpoint.list(app.id)).data.map(({ id }) => id), [endpoint.id]);
  await assert.rejects(owner.endpoint.list(other.id), { code: 404 });
  await owner.authentication.logout();
});

test("precheck and poller", async (t) => {
  const { app, receiver, send } = await shop(t);
  const sink = await svix.endpoint.create(app.id, { url: receiver.url, eventTypes: ["order.sent"], disabled: true });
  assert.deepEqual(await svix.message.precheck(app.id, { eventType: "order.sent" }), { active: true });
  const wanted = await send("order.sent");
  await send("order.paid");
  const page = await svix.message.poller.poll(app.id, sink.id);
  assert.deepEqual([page.data.map(({ id }) => id), page.done], [[wanted.id], true]);
  assert.deepEqual((await svix.message.poller.poll(app.id, sink.id, { iterator: page.iterator })).data, []);
});
