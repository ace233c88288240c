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

for (const format of ["cloudevents-binary", "cloudevents-structured"]) {
  test(`a batch of CloudEvents is read: ${format}`, async (t) => {
    const { app, endpoint, receiver, send } = await shop(t);
    await change(app, endpoint, { format, policy: { batch: { maxMessages: 3, maxWaitMs: 60_000 } } });
    const sent = [];
    for (const eventType of ["order.paid", "order.sent", "order.paid"]) sent.push(await send(eventType));
    const { headers, body } = await receiver.take();
    const events = HTTP.toEvent({ headers, body: body.toString() });
    assert.deepEqual(
      events.map(({ id, type, specversion, source, datacontenttype, data }) => ({
        id,
        type,
        specversion,
        source,
        datacontenttype,
        data,
      })),
      sent.map(({ id, eventType }) => ({
        id,
        type: eventType,
        specversion: "1.0",
        source: `/postrider/${app.id}`,
        datacontenttype: "application/json",
        data: { n: 1 },
      })),
    );
    assert.ok(events.every((event) => event.validate()));
    assert.deepEqual(
      events.map(({ time }) => Date.parse(time)),
      sent.map(({ timestamp }) => timestamp.getTime()),
    );
  });
}
