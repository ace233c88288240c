// What is signed as GitHub does is verified by octokit, which is not ours.

import assert from "node:assert/strict";
import { test } from "node:test";
import { verify, verifyWithFallback } from "@octokit/webhooks-methods";
import { change, shop, svix } from "./support.mjs";

const SIGNATURE = "x-hub-signature-256";

test("octokit takes an event that is signed as GitHub does", async (t) => {
  const { app, endpoint, receiver, send } = await shop(t);
  await change(app, endpoint, { signature: "github" });
  const { key: made } = await svix.endpoint.getSecret(app.id, endpoint.id);
  await send();
  const first = await receiver.take();
  assert.ok(await verify(made, first.body.toString(), first.headers[SIGNATURE]));
  assert.ok(!(await verify("another secret", first.body.toString(), first.headers[SIGNATURE])));
  assert.ok(!(await verify(made, `${first.body} `, first.headers[SIGNATURE])));

  const mine = "It's a Secret to Everybody";
  await svix.endpoint.rotateSecret(app.id, endpoint.id, { key: mine });
  assert.equal((await svix.endpoint.getSecret(app.id, endpoint.id)).key, mine);
  await send();
  const second = await receiver.take();
  assert.ok(await verify(mine, second.body.toString(), second.headers[SIGNATURE]));
  // As GitHub says to do it: both are tried for a while.
  assert.ok(await verifyWithFallback(made, second.body.toString(), second.headers[SIGNATURE], [mine]));
});
