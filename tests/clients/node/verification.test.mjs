// Leave to send is given by the receivers of Azure Web PubSub, which answer the handshake of CloudEvents.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { WebPubSubEventHandler } from "@azure/web-pubsub-express";
import { change, newUid, show, svix, until } from "./support.mjs";

/** By this name the server asks. */
const ORIGIN = "events.example.com";
const EVENT = "azure.webpubsub.user.paid";

/** A receiver by Azure's handler, which ends with the test; `taken` is what it was told. */
async function hub(test, allowedEndpoints) {
  const taken = [];
  const handleUserEvent = ({ context, data }, response) => {
    taken.push({ event: context.eventName, origin: context.origin, data });
    response.success();
  };
  const handler = new WebPubSubEventHandler("shop", { allowedEndpoints, handleUserEvent });
  const handle = handler.getMiddleware();
  const server = createServer((request, response) => {
    // Of express it needs these two.
    const { pathname: path } = new URL(request.url, "http://localhost");
    handle(Object.assign(request, { baseUrl: "", path }), response, () => response.writeHead(404).end());
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  test.after(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return { taken, url: `http://127.0.0.1:${server.address().port}${handler.path}` };
}

/** An endpoint there that has to show that it wants what is sent to it. */
async function asked(url) {
  const app = await svix.application.create({ name: "a shop", uid: newUid() });
  // Not asked for anything before all of it is set.
  const endpoint = await svix.endpoint.create(app.id, { url, disabled: true });
  await change(app, endpoint, {
    disabled: false,
    format: "cloudevents-binary",
    headers: { "ce-awpsversion": "1.0", "ce-hub": "shop", "ce-eventname": "paid" },
    verification: "cloudevents",
  });
  return { app, look: () => show(app, endpoint) };
}

const ALLOWING = [
  ["all", undefined],
  ["us", [`https://${ORIGIN}`]],
  ["us as the second", ["https://other.example.com", `https://${ORIGIN}`]],
];
for (const [who, allowedEndpoints] of ALLOWING) {
  test(`a hub that allows ${who} is verified and takes what is sent`, async (t) => {
    const { taken, url } = await hub(t, allowedEndpoints);
    const { app, look } = await asked(url);
    const { verified, allowedPerMinute } = await until(async () => {
      const endpoint = await look();
      assert.equal(endpoint.verificationFailure, null);
      return endpoint.verified && endpoint;
    });
    assert.deepEqual([verified, allowedPerMinute], [true, null]);
    await svix.message.create(app.id, { eventType: EVENT, payload: { n: 1 } });
    await until(() => taken.length > 0);
    assert.deepEqual(taken, [{ event: "paid", origin: ORIGIN, data: { n: 1 } }]);
  });
}

test("a hub that allows another one gets nothing", async (t) => {
  const { taken, url } = await hub(t, ["https://other.example.com"]);
  const { app, look } = await asked(url);
  await svix.message.create(app.id, { eventType: EVENT, payload: { n: 1 } });
  const { verified, verificationFailure } = await until(async () => {
    const endpoint = await look();
    return endpoint.verificationFailure && endpoint;
  });
  assert.deepEqual([verified, verificationFailure.reason], [false, "origin_not_allowed"]);
  assert.deepEqual(taken, []);
});
