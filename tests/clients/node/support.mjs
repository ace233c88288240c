// What the tests share: a client of the server that the environment names, and a receiver.

import { randomUUID, webcrypto } from "node:crypto";
import { createServer } from "node:http";
import { Svix } from "svix";

// The package wants node 22; this is all that older ones lack.
globalThis.crypto ??= webcrypto;

const PATIENCE_MS = 30_000;

/** Svix's own client; what fails is not tried again. */
export const svix = new Svix(process.env.POSTRIDER_TOKEN, {
  serverUrl: process.env.POSTRIDER_URL,
  retryScheduleInMs: [],
});

/** A uid that is nobody else's. */
export const newUid = () => `js-${randomUUID()}`;

/** A customer's back end: writes down what arrives, and answers as it was told. */
export class Receiver {
  status = 200;
  #arrivals = [];
  #waiting = [];

  static async start() {
    const receiver = new Receiver();
    receiver.server = createServer(async (request, response) => {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      const arrival = { headers: request.headers, body: Buffer.concat(chunks) };
      const waiting = receiver.#waiting.shift();
      if (waiting) waiting(arrival);
      else receiver.#arrivals.push(arrival);
      response.writeHead(receiver.status, { "content-length": "0" }).end();
    });
    await new Promise((resolve) => receiver.server.listen(0, "127.0.0.1", resolve));
    receiver.url = `http://127.0.0.1:${receiver.server.address().port}/hook`;
    return receiver;
  }

  /** The next request; waits for it. */
  take() {
    if (this.#arrivals.length > 0) return this.#arrivals.shift();
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error("waited in vain for a request")), PATIENCE_MS);
      this.#waiting.push((arrival) => {
        clearTimeout(late);
        resolve(arrival);
      });
    });
  }

  close() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }
}

/** An application with an endpoint at a receiver, which ends with the test. */
export async function shop(test) {
  const receiver = await Receiver.start();
  test.after(() => receiver.close());
  const uid = newUid();
  const app = await svix.application.create({ name: "a shop", uid });
  const endpoint = await svix.endpoint.create(app.id, { url: receiver.url });
  const send = (eventType = "order.paid", fields = {}) =>
    svix.message.create(app.id, { eventType, payload: { n: 1 }, ...fields });
  return { receiver, uid, app, endpoint, send };
}

/** Sets fields of an endpoint that Svix's client does not know. */
export const change = (app, endpoint, fields) => call("PATCH", app, endpoint, JSON.stringify(fields));

/** An endpoint with the fields that Svix's client does not know. */
export const show = (app, endpoint) => call("GET", app, endpoint);

async function call(method, app, endpoint, body) {
  const answer = await fetch(`${process.env.POSTRIDER_URL}/api/v1/app/${app.id}/endpoint/${endpoint.id}`, {
    method,
    headers: { authorization: `Bearer ${process.env.POSTRIDER_TOKEN}`, "content-type": "application/json" },
    body,
  });
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  return answer.json();
}

/** Looks until there is something to see, for what the server shows and does not signal. */
export async function until(look) {
  const deadline = Date.now() + PATIENCE_MS;
  while (Date.now() < deadline) {
    const seen = await look();
    if (seen) return seen;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`waited in vain: ${look}`);
}

/** Walks a list to its end by `iterator`, and back by `prevIterator`; gives what both have shown. */
export async function walk(page) {
  const pages = [];
  let iterator;
  do {
    pages.push(await page(iterator));
    iterator = pages.at(-1).iterator;
  } while (!pages.at(-1).done);
  const shown = pages.map(({ data }) => data.map(({ id, name }) => id ?? name));
  const back = [shown.at(-1)];
  for (let at = pages.length - 1; at > 0; at--) {
    const { data } = await page(pages[at].prevIterator);
    back.unshift(data.map(({ id, name }) => id ?? name));
  }
  return { there: shown, back };
}
