// What arrives is verified by the receiving side's libraries, which are not ours.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as standardwebhooks from "standardwebhooks";
import { Webhook } from "svix";
import { shop, svix } from "./support.mjs";

const LIBRARIES = [standardwebhooks.Webhook, Webhook];
const OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

function isSignedWith({ body, headers }, secret) {
  const verdicts = LIBRARIES.map((Library) => {
    try {
      new Library(secret).verify(body, headers);
      return true;
    } catch (error) {
      assert.ok(error instanceof standardwebhooks.WebhookVerificationError, error);
      return false;
    }
  });
  assert.equal(new Set(verdicts).size, 1, "the libraries agree");
  return verdicts[0];
}

test("a delivery verifies", async (t) => {
  const { app, endpoint, receiver, send } = await shop(t);
  const message = await send();
  const arrival = await receiver.take();
  const { key } = await svix.endpoint.getSecret(app.id, endpoint.id);
  assert.equal(arrival.headers["webhook-id"], message.id);
  assert.ok(isSignedWith(arrival, key));
  assert.ok(!isSignedWith(arrival, OTHER));
  assert.ok(!isSignedWith({ ...arrival, body: Buffer.from('{"n":2}') }, key));
});

test("after a rotation both secrets verify", async (t) => {
  const { app, endpoint, receiver, send } = await shop(t);
  const { key: old } = await svix.endpoint.getSecret(app.id, endpoint.id);
  await svix.endpoint.rotateSecret(app.id, endpoint.id, {});
  const { key } = await svix.endpoint.getSecret(app.id, endpoint.id);
  assert.notEqual(key, old);
  await send();
  const arrival = await receiver.take();
  assert.ok(isSignedWith(arrival, old) && isSignedWith(arrival, key));

  await svix.endpoint.rotateSecret(app.id, endpoint.id, { key: OTHER, gracePeriodSeconds: 0 });
  await send();
  const after = await receiver.take();
  assert.ok(isSignedWith(after, OTHER) && !isSignedWith(after, key));
});
