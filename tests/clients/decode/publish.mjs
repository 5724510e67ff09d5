// Publishes COUNT events of several kinds in one channel, then a last message that says so.
// Usage: node publish.mjs COUNT      (API_BASE, CHANNEL_ID, TOKEN_A in the environment)
import { createHash } from "node:crypto";
import { Pool } from "undici";

const count = Number(process.argv[2]);
const { API_BASE, CHANNEL_ID, TOKEN_A } = process.env;
const base = new URL(API_BASE);
const pool = new Pool(base.origin, { connections: 16 });
const headers = { authorization: `Bot ${TOKEN_A}`, "content-type": "application/json" };

// A generator of its own, so that a run can be repeated.
let seed = 0x2545f491;
function random(below) {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return (seed >>> 0) % below;
}

const words = ["guild", "hall", "ünïcode", "日本語", "🦀", "\"quoted\"", "back\\slash", "<@1>", "\u0001", "a".repeat(60)];

function text(number) {
  const filler = Array.from({ length: random(20) }, () => words[random(words.length)]).join(" ");
  const body = `${number} ${filler}`.trim();
  return `${body} #${createHash("sha256").update(body).digest("hex").slice(0, 16)}`;
}

async function ask(method, path, body) {
  for (;;) {
    const answer = await pool.request({
      method,
      path: `${base.pathname}${path}`,
      headers: body === undefined ? { authorization: headers.authorization } : headers,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const said = await answer.body.text();
    if (answer.statusCode < 300) return said ? JSON.parse(said) : null;
    // Busy: nothing was changed, so it is asked again.
    if (answer.statusCode !== 503) throw new Error(`${method} ${path}: ${answer.statusCode} ${said}`);
  }
}

let next = 0;
let last = null;
async function work() {
  while (next < count) {
    const number = next++;
    const kind = number % 10;
    if (kind === 3 && last) await ask("PATCH", `/channels/${CHANNEL_ID}/messages/${last}`, { content: text(number) });
    else if (kind === 6) await ask("POST", `/channels/${CHANNEL_ID}/typing`);
    else {
      const embeds = kind === 8 ? [{ title: Array.from(text(number)).slice(0, 120).join(""), description: "x".repeat(random(2_000)) }] : undefined;
      last = (await ask("POST", `/channels/${CHANNEL_ID}/messages`, { content: text(number), embeds })).id;
    }
  }
}

const began = Date.now();
await Promise.all(Array.from({ length: 16 }, work));
await ask("POST", `/channels/${CHANNEL_ID}/messages`, { content: "the end" });
console.log(`published ${count} events in ${((Date.now() - began) / 1000).toFixed(1)} s`);
await pool.close();
