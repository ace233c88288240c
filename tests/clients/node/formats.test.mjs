// Events in the formats of CloudEvents are read by their own library.

import assert from "node:assert/strict";
import { test } from "node:test";
import { HTTP } from "cloudevents";
import { change, shop } from "./support.mjs";

for (const format of ["cloudevents-binary", "cloudevents-structured"]) {
  test(`a CloudEvent is read: ${format}`, async (t) => {
    const { app, endpoint, receiver, send } = await shop(t);
    await change(app, endpoint, { format });
    const message = await send();
    const { headers, body } = await receiver.take();
    const event = HTTP.toEvent({ headers, body: body.toString() });
    assert.ok(event.validate());
    assert.deepEqual(
      [event.id, event.type, event.specversion, event.source, event.datacontenttype],
      [message.id, "order.paid", "1.0", `/postrider/${app.id}`, "application/json"],
    );
    assert.equal(Date.parse(event.time), message.timestamp.getTime());
    assert.deepEqual(event.data, { n: 1 });
  });
}
