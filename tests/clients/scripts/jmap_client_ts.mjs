// The calls of jmap-client-ts from npm, out of its own environment.
import assert from "node:assert/strict";
import { Client } from "jmap-client-ts";
import { FetchTransport } from "jmap-client-ts/lib/utils/fetch-transport.js";

const { SERVER, SENDER, SENDER_KEY, RECEIVER, RECEIVER_KEY } = process.env;

async function open(accessToken) {
  const client = new Client({
    sessionUrl: `${SERVER}/.well-known/jmap`,
    accessToken,
    httpHeaders: { "Content-Type": "application/json" },
    transport: new FetchTransport(fetch),
  });
  await client.fetchSession();
  return client;
}

async function boxesOf(client) {
  const { list } = await client.mailbox_get({ accountId: null, ids: null });
  return Object.fromEntries(list.filter((each) => each.role).map((each) => [each.role, each.id]));
}

const sender = await open(SENDER_KEY);
const receiver = await open(RECEIVER_KEY);
assert.equal(sender.getSession().username, SENDER);
const boxes = await boxesOf(sender);
const { inbox } = await boxesOf(receiver);
const { state } = await receiver.email_get({ accountId: null, ids: [] });

// Folders of one's own
const made = await sender.mailbox_set({ accountId: null, create: { m1: { name: "Projects", parentId: null } } });
const projects = made.created.m1.id;
const since = await sender.mailbox_changes({ accountId: null, sinceState: made.oldState });
assert.ok(since.created.includes(projects));

// A mail
const drafted = await sender.email_set({
  accountId: null,
  create: {
    d1: {
      mailboxIds: { [boxes.drafts]: true },
      keywords: { $draft: true },
      from: [{ email: SENDER }],
      to: [{ email: RECEIVER }],
      subject: "By another client",
      textBody: [{ partId: "t", type: "text/plain" }],
      htmlBody: [{ partId: "h", type: "text/html" }],
      bodyValues: { t: { value: "Plain." }, h: { value: "<p>Rich.</p>" } },
    },
  },
});
const { id } = drafted.created.d1;
const submitted = await sender.emailSubmission_set({
  accountId: null,
  create: { s1: { emailId: id, envelope: { mailFrom: { email: SENDER }, rcptTo: [{ email: RECEIVER }] } } },
  onSuccessUpdateEmail: { "#s1": { mailboxIds: { [boxes.sent]: true }, "keywords/$draft": null } },
});
const submission = submitted.created.s1.id;
assert.equal((await sender.emailSubmission_get({ accountId: null, ids: [submission] })).list[0].emailId, id);
const news = await sender.emailSubmission_changes({ accountId: null, sinceState: submitted.oldState });
assert.ok(news.created.includes(submission));
assert.deepEqual((await sender.email_get({ accountId: null, ids: [id] })).list[0].mailboxIds, { [boxes.sent]: true });

// At the other end
const ends = Date.now() + 20_000;
let ids = [];
while (!ids.length && Date.now() < ends) {
  await new Promise((resolve) => setTimeout(resolve, 50));
  ({ ids } = await receiver.email_query({ accountId: null, filter: { inMailbox: inbox, subject: "another client" } }));
}
assert.equal(ids.length, 1, "the mail did not come");
const { list: [email] } = await receiver.email_get({
  accountId: null, ids, properties: ["subject", "htmlBody", "bodyValues", "preview"], fetchHTMLBodyValues: true,
});
assert.match(email.bodyValues[email.htmlBody[0].partId].value, /<p>Rich\.<\/p>/);
assert.deepEqual((await receiver.email_changes({ accountId: null, sinceState: state })).created, ids);
await receiver.email_set({ accountId: null, destroy: ids });
assert.deepEqual((await receiver.email_get({ accountId: null, ids })).notFound, ids);
await assert.rejects(receiver.email_changes({ accountId: null, sinceState: "x" }), { type: "cannotCalculateChanges" });
console.log("all calls made");
