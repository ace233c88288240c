// Svix's client makes, reads, changes, lists and deletes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiException } from "svix";
import { newUid, shop, svix, until, walk } from "./support.mjs";

const refused = (status, matches) => (error) => {
  assert.ok(error instanceof ApiException, error);
  assert.equal(error.code, status);
  assert.deepEqual({ ...error.body, ...matches }, error.body);
  return true;
};

test("an application is made, read, changed and deleted", async () => {
  const uid = newUid();
  const made = await svix.application.create({ name: "a shop", uid, throttleRate: 20, metadata: { plan: "gold" } });
  assert.match(made.id, /^app_/);
  assert.ok(made.createdAt instanceof Date && !Number.isNaN(made.createdAt.getTime()));
  assert.deepEqual(await svix.application.get(uid), made);
  assert.deepEqual(await svix.application.getOrCreate({ name: "a shop", uid }), made);
  await assert.rejects(svix.application.create({ name: "b", uid }), refused(409, { code: "conflict" }));
  const patched = await svix.application.patch(uid, { name: "renamed" });
  assert.deepEqual([patched.name, patched.throttleRate], ["renamed", 20]);
  const cleared = await svix.application.patch(uid, { throttleRate: null });
  assert.equal(cleared.throttleRate ?? null, null);
  const replaced = await svix.application.upsert(uid, { name: "anew", uid });
  assert.deepEqual([replaced.id, replaced.metadata], [made.id, {}]);
  await svix.application.delete(uid);
  await assert.rejects(svix.application.get(uid), refused(404, { code: "not_found" }));
});

test("an endpoint is made, read, changed and deleted", async (t) => {
  const { app, receiver } = await shop(t);
  const asked = { url: receiver.url, uid: "till", throttleRate: 50, eventTypes: ["order.paid"], channels: ["north"] };
  const made = await svix.endpoint.create(app.id, asked);
  assert.deepEqual({ ...made, ...asked }, made);
  assert.deepEqual(await svix.endpoint.get(app.uid, "till"), made);
  const patched = await svix.endpoint.patch(app.id, "till", { disabled: true, channels: null });
  assert.deepEqual([patched.disabled, patched.channels ?? null, patched.throttleRate], [true, null, 50]);
  const replaced = await svix.endpoint.upsert(app.id, "till", { url: receiver.url, uid: "till" });
  assert.deepEqual([replaced.id, replaced.disabled, replaced.throttleRate ?? null], [made.id, false, null]);
  await svix.endpoint.delete(app.id, made.id);
  await assert.rejects(svix.endpoint.get(app.id, made.id), refused(404, { code: "not_found" }));
});

test("an endpoint's headers go along, and credentials are not shown again", async (t) => {
  const { app, endpoint, receiver, send } = await shop(t);
  await svix.endpoint.setHeaders(app.id, endpoint.id, { headers: { "x-shop": "7", authorization: "Bearer sesame" } });
  const shown = await svix.endpoint.getHeaders(app.id, endpoint.id);
  assert.deepEqual(shown, { headers: { "x-shop": "7" }, sensitive: ["authorization"] });
  await svix.endpoint.patchHeaders(app.id, endpoint.id, { headers: { "x-till": "2" }, deleteHeaders: ["x-shop"] });
  assert.deepEqual((await svix.endpoint.getHeaders(app.id, endpoint.id)).headers, { "x-till": "2" });
  await send();
  const { headers } = await receiver.take();
  assert.deepEqual([headers["x-till"], headers["x-shop"], headers.authorization], ["2", undefined, "Bearer sesame"]);
});

test("an event type is made, read, changed, archived and expunged", async () => {
  const name = newUid();
  const made = await svix.eventType.create({ name, description: "paid", schemas: { 1: { type: "object" } } });
  assert.deepEqual(await svix.eventType.get(name), made);
  assert.deepEqual([made.archived, made.deprecated], [false, false]);
  assert.equal((await svix.eventType.patch(name, { deprecated: true })).deprecated, true);
  assert.equal((await svix.eventType.upsert(name, { description: "other" })).description, "other");
  await svix.eventType.delete(name);
  assert.equal((await svix.eventType.get(name)).archived, true);
  await svix.eventType.delete(name, { expunge: true });
  await assert.rejects(svix.eventType.get(name), refused(404, { code: "not_found" }));
});

test("a message is accepted once, delivered and read", async (t) => {
  const { app, receiver } = await shop(t);
  const asked = { eventType: "order.paid", payload: { order: 17 }, eventId: "e-17", channels: ["north"], tags: ["vip"] };
  const keyed = { idempotencyKey: "k-17", withContent: true };
  const made = await svix.message.create(app.id, asked, keyed);
  assert.deepEqual({ ...made, ...asked }, made);
  assert.deepEqual(await svix.message.create(app.id, asked, keyed), made);
  await assert.rejects(svix.message.create(app.id, asked), refused(409, { code: "conflict" }));
  await assert.rejects(svix.message.create(app.id, { eventType: "order.paid", payload: {} }, keyed), refused(422, {}));
  const arrival = await receiver.take();
  assert.deepEqual([arrival.headers["webhook-id"], `${arrival.body}`], [made.id, '{"order":17}']);
  assert.deepEqual(await svix.message.get(app.id, "e-17", { withContent: true }), made);
});

test("lists are walked both ways", async (t) => {
  const { app, receiver, endpoint, send } = await shop(t);
  const endpoints = [endpoint.id];
  for (let n = 0; n < 4; n++) endpoints.push((await svix.endpoint.create(app.id, { url: receiver.url })).id);
  const messages = [];
  for (let n = 0; n < 5; n++) messages.unshift((await send()).id);
  const pages = (ids) => [ids.slice(0, 2), ids.slice(2, 4), ids.slice(4)];

  const list = (resource) => (iterator) => svix[resource].list(app.id, { limit: 2, iterator });
  assert.deepEqual(await walk(list("endpoint")), { there: pages(endpoints), back: pages(endpoints) });
  assert.deepEqual(await walk(list("message")), { there: pages(messages), back: pages(messages) });
  const newest = await svix.application.list({ limit: 1, order: "descending" });
  assert.equal(newest.data.length, 1);
});

test("attempts are read", async (t) => {
  const { app, endpoint, receiver, send } = await shop(t);
  receiver.status = 500;
  const message = await send();
  for (let n = 0; n < 3; n++) await receiver.take();
  const attempts = await until(async () => {
    const { data } = await svix.messageAttempt.listByMsg(app.id, message.id);
    return data.length === 3 && data;
  });
  for (const attempt of attempts) {
    assert.deepEqual([attempt.msgId, attempt.endpointId, attempt.url], [message.id, endpoint.id, receiver.url]);
    assert.deepEqual([attempt.status, attempt.statusText, attempt.responseStatusCode], [2, "fail", 500]);
    assert.deepEqual(await svix.messageAttempt.get(app.id, message.id, attempt.id), attempt);
  }
  const list = (iterator) => svix.messageAttempt.listByEndpoint(app.id, endpoint.id, { limit: 1, iterator });
  const ids = attempts.map(({ id }) => [id]);
  assert.deepEqual(await walk(list), { there: ids, back: ids });
});

test("what is wrong is named", async () => {
  await assert.rejects(svix.application.create({ name: "" }), (error) => {
    assert.equal(error.code, 422);
    assert.deepEqual(error.body.detail[0].loc, ["body", "name"]);
    return true;
  });
});
