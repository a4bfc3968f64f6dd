// Every method of AgentMail's Node client, called at least once; a table of what came of each.
import assert from "node:assert/strict";
import { AgentMailClient } from "agentmail";
import { until } from "./waiting.mjs";

const { SERVER, NAME, OPERATOR, AGENTMAIL_API_KEY } = process.env;
const options = { baseUrl: SERVER, environment: { http: SERVER, websockets: SERVER.replace("http", "ws") } };
const client = new AgentMailClient({ apiKey: AGENTMAIL_API_KEY, ...options });
// Parts of the service that this server does not have: each call finds nothing there.
const ABSENT = /^(accounts|apps|providers|files|pods\.accounts|inboxes\.(accounts|calendar|files))\.|^agent\.attachHuman$|getSetupLink$|[lL]abs$|\.authorize$|AgentArmor|polling\.|queryRates$|publicKey/i;
const table = {};

function* methods(thing, prefix = "") {
  const names = new Set();
  for (let level = Object.getPrototypeOf(thing); level && level !== Object.prototype; level = Object.getPrototypeOf(level)) {
    for (const [name, found] of Object.entries(Object.getOwnPropertyDescriptors(level))) {
      if (name === "constructor" || name.startsWith("_") || names.has(name)) continue;
      names.add(name);
      const value = found.get ? thing[name] : found.value;
      if (found.get && value && typeof value === "object") yield* methods(value, `${prefix}${name}.`);
      else if (typeof value === "function" && name !== "fetch") yield prefix + name;
    }
  }
}
const METHODS = [...methods(client)];

async function call(path, ...given) {
  if (!METHODS.includes(path)) return null;
  return callAs(client, path, ...given);
}

async function callAs(whose, path, ...given) {
  let found = whose;
  const parts = path.split(".");
  for (const part of parts.slice(0, -1)) found = found[part];
  const answer = await found[parts.at(-1)](...given);
  table[path] = "ok";
  return answer;
}

assert.ok((await call("organizations.get")).inboxCount >= 0);
assert.equal((await call("auth.me")).scopeType, "organization");
const pod = await call("pods.create", { name: "Team", clientId: `${NAME}-pod` });
assert.equal((await call("pods.get", pod.podId)).name, "Team");
assert.ok((await call("pods.list", { limit: 5 })).count >= 1);
const inbox = await call("inboxes.create", { username: NAME, displayName: "Bot", clientId: `${NAME}-1` });
const iid = inbox.inboxId;
await call("inboxes.get", iid);
await call("inboxes.list", { limit: 100 });
assert.equal((await call("inboxes.update", iid, { displayName: "Robot" })).displayName, "Robot");
await call("inboxes.search", { q: NAME });
const mate = await call("pods.inboxes.create", pod.podId, { username: `${NAME}-mate` });
await call("pods.inboxes.get", pod.podId, mate.inboxId);
assert.equal((await call("pods.inboxes.list", pod.podId)).count, 1);
await call("pods.inboxes.update", pod.podId, mate.inboxId, { displayName: "Mate" });
await call("pods.inboxes.search", pod.podId, { q: NAME });

const attachments = [{ filename: "a.txt", contentType: "text/plain", content: "aGVsbG8=" }];
const sent = await call("inboxes.messages.send", iid, { to: [mate.inboxId], subject: "Invoices", text: "Two invoices are due.", attachments });
const got = (await until(async () => {
  const found = await client.inboxes.messages.list(mate.inboxId);
  return found.count ? found.messages : null;
}, "the mail"))[0];
await call("inboxes.messages.list", iid, { labels: ["sent"] });
const message = await call("inboxes.messages.get", mate.inboxId, got.messageId);
const part = message.attachments[0].attachmentId;
const link = await call("inboxes.messages.getAttachment", mate.inboxId, got.messageId, part);
assert.equal(await (await fetch(link.downloadUrl)).text(), "hello");
await call("inboxes.messages.getRaw", mate.inboxId, got.messageId);
assert.ok((await call("inboxes.messages.update", mate.inboxId, got.messageId, { addLabels: ["vip"] })).labels.includes("vip"));
assert.equal((await call("inboxes.messages.reply", mate.inboxId, got.messageId, { text: "Thanks." })).threadId, got.threadId);
await call("inboxes.messages.replyAll", mate.inboxId, got.messageId, { text: "Thanks, all." });
await call("inboxes.messages.forward", mate.inboxId, got.messageId, { to: ["bob@far.example"], text: "See below." });
const found = await call("inboxes.messages.search", mate.inboxId, { q: "invoice" });
assert.ok(found.messages[0].highlights.text.some((text) => text.includes("**")));
assert.equal((await call("inboxes.messages.batchGet", mate.inboxId, { messageIds: [got.messageId] })).count, 1);
await call("inboxes.messages.batchUpdate", mate.inboxId, { messageIds: [got.messageId], addLabels: ["seen"] });
assert.equal((await call("inboxes.events.list", mate.inboxId)).events[0].label, "seen");

for (const [prefix, scope] of [["", []], ["pods.", [pod.podId]], ["inboxes.", [mate.inboxId]]]) {
  assert.ok((await call(`${prefix}threads.list`, ...scope)).count >= 1);
  assert.ok((await call(`${prefix}threads.get`, ...scope, got.threadId)).messages.length);
  await call(`${prefix}threads.getAttachment`, ...scope, got.threadId, part);
  await call(`${prefix}threads.search`, ...scope, { q: "invoices" });
  await call(`${prefix}threads.update`, ...scope, got.threadId, { addLabels: ["filed"] });
}

let draft = await call("inboxes.drafts.create", iid, { to: [mate.inboxId], subject: "Plan", text: "One", attachments });
const held = draft.attachments[0].attachmentId;
for (const [prefix, scope] of [["", []], ["inboxes.", [iid]]]) {
  await call(`${prefix}drafts.list`, ...scope);
  assert.equal((await call(`${prefix}drafts.get`, ...scope, draft.draftId)).subject, "Plan");
  await call(`${prefix}drafts.getAttachment`, ...scope, draft.draftId, held);
}
const podDraft = await client.inboxes.drafts.create(mate.inboxId, { subject: "Pod's", attachments });
await call("pods.drafts.list", pod.podId);
await call("pods.drafts.get", pod.podId, podDraft.draftId);
await call("pods.drafts.getAttachment", pod.podId, podDraft.draftId, podDraft.attachments[0].attachmentId);
draft = await call("inboxes.drafts.update", iid, draft.draftId, { sendAt: new Date(Date.now() + 86_400_000) });
assert.equal(draft.sendStatus, "scheduled");
await call("inboxes.drafts.send", iid, draft.draftId, { addLabels: ["sent-draft"] });
await call("inboxes.drafts.delete", mate.inboxId, podDraft.draftId);

for (const [prefix, scope] of [["", []], ["pods.", [pod.podId]], ["inboxes.", [iid]]]) {
  await call(`${prefix}lists.create`, ...scope, "receive", "block", { entry: "evil.example", reason: "spam" });
  await call(`${prefix}lists.list`, ...scope, "receive", "block");
  await call(`${prefix}lists.get`, ...scope, "receive", "block", "evil.example");
  await call(`${prefix}lists.delete`, ...scope, "receive", "block", "evil.example");
  const made = await call(`${prefix}apiKeys.create`, ...scope, { name: "helper" });
  await call(`${prefix}apiKeys.list`, ...scope);
  await call(`${prefix}apiKeys.get`, ...scope, made.apiKeyId);
  await call(`${prefix}apiKeys.update`, ...scope, made.apiKeyId, { name: "renamed" });
  await call(`${prefix}apiKeys.delete`, ...scope, made.apiKeyId);
  const hook = await call(`${prefix}webhooks.create`, ...scope, { url: "https://hooks.example/in", eventTypes: ["message.received"] });
  await call(`${prefix}webhooks.list`, ...scope);
  await call(`${prefix}webhooks.get`, ...scope, hook.webhookId);
  await call(`${prefix}webhooks.update`, ...scope, hook.webhookId, { eventTypes: ["message.sent"] });
  await call(`${prefix}webhooks.updateHeaders`, ...scope, hook.webhookId, { headers: { "X-Token": "t" } });
  assert.deepEqual((await call(`${prefix}webhooks.getHeaders`, ...scope, hook.webhookId)).headerNames, ["X-Token"]);
  await call(`${prefix}webhooks.delete`, ...scope, hook.webhookId);
  const counted = await call(`${prefix}metrics.queryEvents`, ...scope, { eventTypes: ["message.sent"] });
  assert.ok(counted["message.sent"].length);
  await call(`${prefix}metrics.queryUsage`, ...scope, { usageTypes: ["message_count"] });
}
for (const [prefix, scope] of [["", []], ["pods.", [pod.podId]]]) {
  const domain = await call(`${prefix}domains.create`, ...scope, { domain: `${NAME}-${prefix.replace(".", "") || "org"}.example`, feedbackEnabled: true });
  assert.ok(domain.records.length);
  await call(`${prefix}domains.list`, ...scope);
  await call(`${prefix}domains.get`, ...scope, domain.domainId);
  await call(`${prefix}domains.getZoneFile`, ...scope, domain.domainId);
  await call(`${prefix}domains.update`, ...scope, domain.domainId, { subdomainsEnabled: true });
  await call(`${prefix}domains.verify`, ...scope, domain.domainId);
  await call(`${prefix}domains.delete`, ...scope, domain.domainId);
}

const socket = await callAs(client, "websockets.connect", { apiKey: AGENTMAIL_API_KEY });
const heard = [];
socket.on("message", (frame) => heard.push(frame));
await socket.waitForOpen();
socket.sendSubscribe({ type: "subscribe", inboxIds: [mate.inboxId] });
await until(() => heard.find((frame) => frame.type === "subscribed"), "the subscription");
await client.inboxes.messages.send(iid, { to: [mate.inboxId], subject: "Live", text: "Now." });
const live = await until(() => heard.find((frame) => frame.type === "event" || frame.type === "message_received"), "the event");
assert.equal(live.message.subject, "Live");
socket.close();

const fresh = await call("agent.signUp", { username: `${NAME}-agent`, humanEmail: `${NAME}@far.example` });
const letters = await until(async () => {
  const found = await client.inboxes.messages.list(OPERATOR, { subject: ["Your code"], limit: 100 });
  const mine = found.messages.filter((each) => each.subject.includes(fresh.inboxId));
  return mine.length ? mine : null;
}, "the code");
const letter = await client.inboxes.messages.get(OPERATOR, letters[0].messageId);
const theirs = new AgentMailClient({ apiKey: fresh.apiKey, ...options });
assert.ok((await callAs(theirs, "agent.verify", { otpCode: letter.text.split("The code is ")[1].slice(0, 6) })).verified);

await call("inboxes.threads.delete", mate.inboxId, got.threadId);
for (const [prefix, scope] of [["", []], ["pods.", [pod.podId]]]) {
  const extra = await client.inboxes.messages.send(mate.inboxId, { to: ["bob@far.example"], subject: "X", text: "x" });
  await call(`${prefix}threads.delete`, ...scope, extra.threadId);
}
await call("inboxes.messages.delete", iid, sent.messageId);
await call("pods.inboxes.delete", pod.podId, mate.inboxId);
await call("pods.delete", pod.podId);
await call("inboxes.delete", iid);

for (const path of METHODS.filter((each) => ABSENT.test(each) && !(each in table))) {
  try {
    await callAs(client, path, "none", "none", "none");
    delete table[path];
  } catch (error) {
    if (error.statusCode === undefined) {
      table[path] = "absent (not sent: the client refused the arguments)";
      continue;
    }
    assert.ok([404, 405].includes(error.statusCode), `${path} ${error.message}`);
    table[path] = `absent (${error.statusCode})`;
  }
}
console.log(JSON.stringify(table));
assert.deepEqual(METHODS.filter((each) => !(each in table)), []);
console.log(`all methods called: ${METHODS.length}`);
process.exit(0);
