// A mailbox read and a mail sent with jmap-jam from npm, out of its own environment.
import assert from "node:assert/strict";
import JamClient from "jmap-jam";
import { until } from "./waiting.mjs";

const { SERVER, SENDER, SENDER_KEY, RECEIVER, RECEIVER_KEY } = process.env;

async function mailboxes(client, accountId) {
  const [{ list }] = await client.api.Mailbox.get({ accountId, ids: null });
  return Object.fromEntries(list.filter((each) => each.role).map((each) => [each.role, each]));
}

// Discovery
const open = (bearerToken) => new JamClient({ sessionUrl: `${SERVER}/.well-known/jmap`, bearerToken });
const sender = open(SENDER_KEY);
const receiver = open(RECEIVER_KEY);
const session = await sender.session;
assert.equal(session.username, SENDER);
for (const url of [session.apiUrl, session.uploadUrl, session.downloadUrl, session.eventSourceUrl]) {
  assert.ok(url.startsWith(`${SERVER}/`), url);
}
const accountId = await sender.getPrimaryAccount();
const theirs = await receiver.getPrimaryAccount();
assert.notEqual(accountId, theirs);
const boxes = await mailboxes(sender, accountId);
const inbox = (await mailboxes(receiver, theirs)).inbox;
assert.ok(boxes.inbox && boxes.sent && boxes.drafts && boxes.trash);
const [before] = await receiver.api.Email.get({ accountId: theirs, ids: [] });

// A draft with a file
const file = await sender.uploadBlob(accountId, new Blob(["attached\n"], { type: "text/plain" }));
assert.deepEqual([file.accountId, file.size, file.type], [accountId, 9, "text/plain"]);
const [identities] = await sender.api.Identity.get({ accountId, ids: null });
const identity = identities.list.find((each) => each.email === SENDER);
assert.ok(identity);
const [drafted] = await sender.api.Email.set({
  accountId,
  create: {
    d1: {
      mailboxIds: { [boxes.drafts.id]: true },
      keywords: { $draft: true, $seen: true },
      from: [{ name: "Sender", email: SENDER }],
      to: [{ name: "Receiver", email: RECEIVER }],
      subject: "Grüße über JMAP",
      bodyStructure: {
        type: "multipart/mixed",
        subParts: [
          { partId: "text", type: "text/plain" },
          { blobId: file.blobId, type: "text/plain", disposition: "attachment", name: "ä.txt" },
        ],
      },
      bodyValues: { text: { value: "Zwölf Boxkämpfer.\n" } },
    },
  },
});
assert.equal(drafted.notCreated ?? null, null);
const draft = drafted.created.d1;
assert.ok(draft.id && draft.blobId && draft.threadId && draft.size > 0);

// Sent, and filed as sent by the same request
const [{ submitted }, { createdIds }] = await sender.requestMany((t) => ({
  submitted: t.EmailSubmission.set({
    accountId,
    create: { s1: { identityId: identity.id, emailId: draft.id } },
    onSuccessUpdateEmail: {
      "#s1": {
        [`mailboxIds/${boxes.drafts.id}`]: null,
        [`mailboxIds/${boxes.sent.id}`]: true,
        "keywords/$draft": null,
      },
    },
  }),
}), { createdIds: {} });
assert.ok(submitted.created?.s1.id ?? submitted.updated, JSON.stringify(submitted));
assert.equal(typeof createdIds, "object");
const [sent] = await sender.api.Email.get({ accountId, ids: [draft.id], properties: ["mailboxIds", "keywords"] });
assert.deepEqual(sent.list[0].mailboxIds, { [boxes.sent.id]: true });
assert.ok(!sent.list[0].keywords.$draft && sent.list[0].keywords.$seen);

// It arrives; query, and get by reference to its answer
const found = await until(async () => {
  const [{ emails }] = await receiver.requestMany((t) => {
    const query = t.Email.query({
      accountId: theirs,
      filter: { operator: "AND", conditions: [{ inMailbox: inbox.id }, { subject: "Grüße" }] },
      sort: [{ property: "receivedAt", isAscending: false }],
      limit: 10,
    });
    const emails = t.Email.get({
      accountId: theirs,
      ids: query.$ref("/ids"),
      properties: ["id", "threadId", "subject", "from", "bodyValues", "textBody", "attachments", "blobId"],
      fetchTextBodyValues: true,
    });
    return { query, emails };
  });
  return emails.list[0];
}, "the mail at the receiver");
assert.equal(found.subject, "Grüße über JMAP");
assert.deepEqual(found.from, [{ name: "Sender", email: SENDER }]);
assert.equal(found.bodyValues[found.textBody[0].partId].value.trim(), "Zwölf Boxkämpfer.");
const [attachment] = found.attachments;
assert.equal(attachment.name, "ä.txt");
const downloaded = await receiver.downloadBlob({
  accountId: theirs, blobId: attachment.blobId, mimeType: "text/plain", fileName: attachment.name,
});
assert.match(downloaded.headers.get("content-type"), /^text\/plain/);
assert.equal(await downloaded.text(), "attached\n");
const whole = await receiver.downloadBlob({
  accountId: theirs, blobId: found.blobId, mimeType: "message/rfc822", fileName: "mail.eml",
});
assert.match(await whole.text(), /^Received: .*\r\n(?:.*\r\n)*From: Sender/m);

// What changed since
const [changes] = await receiver.api.Email.changes({ accountId: theirs, sinceState: before.state });
assert.deepEqual(changes.created, [found.id]);
assert.deepEqual([changes.updated, changes.destroyed, changes.hasMoreChanges], [[], [], false]);
const [marked] = await receiver.api.Email.set({ accountId: theirs, update: { [found.id]: { "keywords/$seen": true } } });
assert.ok(found.id in marked.updated);
const [later] = await receiver.api.Email.changes({ accountId: theirs, sinceState: changes.newState });
assert.deepEqual([later.created, later.updated], [[], [found.id]]);
const [{ thread }] = await receiver.requestMany((t) => ({ thread: t.Thread.get({ accountId: theirs, ids: [found.threadId] }) }));
assert.deepEqual(thread.list[0].emailIds, [found.id]);

// What is refused says so in the standard's words
await assert.rejects(receiver.api.Email.get({ accountId, ids: [] }), { type: "accountNotFound" });
await assert.rejects(receiver.api.Email.query({ accountId: theirs, filter: { nonsense: 1 } }), { type: "unsupportedFilter" });
await assert.rejects(receiver.api.Email.changes({ accountId: theirs, sinceState: "x" }), { type: "cannotCalculateChanges" });
console.log("all calls made");
