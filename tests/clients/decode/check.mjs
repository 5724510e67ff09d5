// What every client of this suite does with a raw event: numbers without gaps, contents as sent.
import { createHash } from "node:crypto";

export class Check {
  sequence = null;
  events = 0;
  messages = 0;

  constructor(name) {
    this.name = name;
    this.done = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
  }

  packet({ op, s, t, d }) {
    if (op !== 0) return;
    if (this.sequence !== null && s !== this.sequence + 1) this.fail(`number ${s} after ${this.sequence}`);
    this.sequence = s;
    this.events += 1;
    if (t !== "MESSAGE_CREATE" && t !== "MESSAGE_UPDATE") return;
    if (d.content === "the end") return this.resolve();
    this.messages += 1;
    const [, body, hash] = /^([^]*) #([0-9a-f]{16})$/.exec(d.content) ?? [];
    if (createHash("sha256").update(body ?? "").digest("hex").slice(0, 16) !== hash)
      this.fail(`a content is not what was sent: ${d.content}`);
  }

  fail(why) {
    this.reject(new Error(`${this.name}: ${why}`));
  }

  async report() {
    await this.done;
    console.log(`${this.name}: ${this.events} events, ${this.messages} messages, none missing or changed`);
  }
}
