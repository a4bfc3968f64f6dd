// Every call of this part with AgentMail's Node client, out of its own environment.
import assert from "node:assert/strict";
import net from "node:net";
import { AgentMail, AgentMailClient } from "agentmail";
import { until } from "./waiting.mjs";

const { SERVER, NAME, SMTP_PORT, AGENTMAIL_API_KEY } = process.env;
const client = new AgentMailClient({ apiKey: AGENTMAIL_API_KEY, baseUrl: SERVER });

async function mail(to, text) {
  const socket = net.connect(Number(SMTP_PORT), "127.0.0.1");
  const replies = socket[Symbol.asyncIterator]();
  const lines = ["EHLO client.example", "MAIL FROM:<ann@elsewhere.example>", `RCPT TO:<${to}>`, "DATA", `${text}\r\n.`, "QUIT"];
  await replies.next();
  for (const line of lines) {
    socket.write(`${line}\r\n`);
    const reply = (await replies.next()).value.toString();
    assert.match(reply, /^[23]/, reply);
  }
}

// Inboxes
const inbox = await client.inboxes.create({ username: NAME, displayName: "Bot", clientId: `${NAME}-1` });
assert.equal(inbox.inboxId, `${NAME}@agents.test`);
assert.notEqual((await client.inboxes.create()).inboxId, inbox.inboxId);
assert.equal((await client.inboxes.get(inbox.inboxId)).podId, inbox.podId);
assert.ok((await client.inboxes.list({ limit: 100 })).inboxes.some((found) => found.inboxId === inbox.inboxId));
assert.equal((await client.inboxes.update(inbox.inboxId, { displayName: "Robot" })).displayName, "Robot");
const other = await client.inboxes.create({ username: `${NAME}-other` });

// Mail in
await mail(inbox.inboxId, `From: Ann <ann@elsewhere.example>\r\nTo: ${inbox.inboxId}\r\nCc: bob@far.example\r\nSubject: Question\r\nMessage-ID: <CA+/x=1@h.example>\r\n\r\nWhat time is it?`);
const { messages, threads } = client.inboxes;
const [item] = await until(async () => {
  const page = await messages.list(inbox.inboxId, { labels: ["received", "unread"] });
  return page.count > 0 && page.messages;
}, "the mail");
const message = await messages.get(inbox.inboxId, item.messageId);
assert.equal(message.text.trim(), "What time is it?");
assert.equal(message.from, "Ann <ann@elsewhere.example>");
assert.ok(message.timestamp instanceof Date);
assert.equal((await messages.get(inbox.inboxId, "<CA+/x=1@h.example>")).messageId, message.messageId);
const changed = await messages.update(inbox.inboxId, message.messageId, { addLabels: ["read", "vip"], removeLabels: ["unread"] });
assert.deepEqual([...changed.labels].sort(), ["read", "received", "vip"]);

// Mail out
const attachment = { filename: "a.txt", content: Buffer.from("attached").toString("base64"), contentType: "text/plain" };
await messages.send(inbox.inboxId, {
  to: [other.inboxId], cc: "cc@far.example", subject: "Hello", text: "Text", html: "<p>Html</p>",
  labels: ["mine"], attachments: [attachment], headers: { "X-Run": NAME },
});
const [got] = await until(async () => {
  const page = await messages.list(other.inboxId);
  return page.count > 0 && page.messages;
}, "the mail at the other inbox");
const whole = await messages.get(other.inboxId, got.messageId);
assert.equal(whole.headers["X-Run"], NAME);
const { attachmentId } = whole.attachments[0];
const file = await messages.getAttachment(other.inboxId, got.messageId, attachmentId);
assert.equal(await (await fetch(file.downloadUrl)).text(), "attached");
const raw = await messages.getRaw(other.inboxId, got.messageId);
assert.match(await (await fetch(raw.downloadUrl)).text(), /Subject: Hello/);
const reply = await messages.reply(inbox.inboxId, message.messageId, { text: "Half past nine." });
assert.equal(reply.threadId, message.threadId);
const everyone = await messages.replyAll(inbox.inboxId, message.messageId, { text: "To all." });
const found = await messages.get(inbox.inboxId, everyone.messageId);
assert.ok([...found.to, ...(found.cc ?? [])].includes("bob@far.example"));
const forward = await messages.forward(inbox.inboxId, message.messageId, { to: other.inboxId, text: "See below." });
assert.equal((await messages.get(inbox.inboxId, forward.messageId)).subject, "Fwd: Question");

// Threads
assert.ok((await threads.list(inbox.inboxId)).threads.some((thread) => thread.threadId === reply.threadId));
const thread = await threads.get(inbox.inboxId, reply.threadId);
assert.equal(thread.messageCount, thread.messages.length);
assert.equal((await threads.getAttachment(other.inboxId, whole.threadId, attachmentId)).size, 8);
await messages.delete(inbox.inboxId, forward.messageId);
await threads.delete(inbox.inboxId, thread.threadId);
await assert.rejects(threads.get(inbox.inboxId, thread.threadId), AgentMail.NotFoundError);

// Webhooks
const hook = await client.webhooks.create({ url: "https://a.example/hook", eventTypes: ["message.received"], clientId: NAME });
assert.match(hook.secret, /^whsec_/);
assert.equal((await client.webhooks.get(hook.webhookId)).url, "https://a.example/hook");
assert.ok((await client.webhooks.list()).webhooks.some((one) => one.webhookId === hook.webhookId));
assert.deepEqual((await client.webhooks.update(hook.webhookId, { addInboxIds: [inbox.inboxId] })).inboxIds, [inbox.inboxId]);
await client.webhooks.delete(hook.webhookId);

// Errors
await assert.rejects(client.inboxes.get("nobody@agents.test"), AgentMail.NotFoundError);
await assert.rejects(messages.send(inbox.inboxId, { to: "no address", text: "x" }), AgentMail.ValidationError);
await assert.rejects(messages.send(inbox.inboxId, { text: "to nobody" }), { statusCode: 422 });
await assert.rejects(client.inboxes.create({ username: NAME }), { statusCode: 403 });
await client.inboxes.delete(other.inboxId);
await assert.rejects(client.inboxes.get(other.inboxId), AgentMail.NotFoundError);
console.log("all calls made");
