// A node to test against, a cable to cut, and its HTTP API for what the test prepares.

import { execFile, spawn } from 'node:child_process';
import { createServer, connect } from 'node:net';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';

const run = promisify(execFile);
const START_WITHIN = 60_000;
const STOP_WITHIN = 30_000;

/** A running `guildhall dev`. */
export class Guildhall {
  static async start(data, listen = '127.0.0.1:0') {
    const node = new Guildhall();
    const args = ['dev', '--listen', listen, '--data', data, '--print-env', '--rate-limits', 'off'];
    node.data = data;
    node.process = spawn(process.env.GUILDHALL_BIN, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    node.exited = new Promise((done) => node.process.once('exit', (code, signal) => done(signal ?? code)));
    node.env = {};
    const ready = (async () => {
      for await (const line of createInterface({ input: node.process.stdout })) {
        const [name, value] = line.split(/=(.*)/s);
        node.env[name] = value;
        if (name === 'CHANNEL_ID') return true;
      }
      return false;
    })();
    if (!(await within(START_WITHIN, ready, 'the node did not start'))) throw new Error(`the node ended: ${await node.exited}`);
    node.port = Number(new URL(node.env.API_BASE).port);
    return node;
  }

  async stop() {
    this.process.kill('SIGTERM');
    return within(STOP_WITHIN, this.exited, 'the node did not stop after SIGTERM');
  }

  kill() {
    this.process.kill('SIGKILL');
    return this.exited;
  }

  /** Runs `guildhall admin …` and reads its JSON. */
  async admin(...args) {
    const { stdout } = await run(process.env.GUILDHALL_BIN, ['admin', '--data', this.data, '--json', ...args]);
    return JSON.parse(stdout);
  }

  async api(token, method, path, body) {
    const headers = { Authorization: token, 'Content-Type': 'application/json' };
    const response = await fetch(this.env.API_BASE + path, { method, headers, body: body && JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text && JSON.parse(text);
  }
}

/** A TCP proxy before the node: pulled out, every connection through it breaks and none is made. */
export class Cable {
  static async to(node) {
    const cable = new Cable();
    cable.node = node;
    cable.sockets = new Set();
    cable.plugged = true;
    cable.server = createServer((client) => cable.accept(client));
    await new Promise((done) => cable.server.listen(0, '127.0.0.1', done));
    cable.origin = `http://127.0.0.1:${cable.server.address().port}`;
    return cable;
  }

  accept(client) {
    if (!this.plugged) return client.destroy();
    const server = connect(this.node.port, '127.0.0.1');
    for (const [from, to] of [[client, server], [server, client]]) {
      this.sockets.add(from);
      from.on('error', () => {});
      from.on('close', () => { this.sockets.delete(from); to.destroy(); });
      from.pipe(to);
    }
  }

  pull() {
    this.plugged = false;
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  plug() {
    this.plugged = true;
  }

  close() {
    this.pull();
    this.server.close();
  }
}

/** `promise`, or an error when it takes longer than `milliseconds`. */
export function within(milliseconds, promise, problem) {
  let timer;
  const late = new Promise((_, fail) => { timer = setTimeout(() => fail(new Error(problem)), milliseconds); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A PNG with a bar for each of `values` (0 to 1). */
export function chart(values, width = 384, height = 150) {
  const rows = [];
  const bar = Math.floor(width / values.length);
  for (let y = 0; y < height; y++) {
    rows.push(0);
    for (let x = 0; x < width; x++) {
      const value = values[Math.min(Math.floor(x / bar), values.length - 1)], inside = x % bar > 2 && 1 - y / height < value;
      rows.push(...(inside ? [230, 140 + 60 * value, 80] : [34, 37, 44]));
    }
  }
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data]), length = Buffer.alloc(4), sum = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc(body));
    return Buffer.concat([length, body, sum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const signature = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);
  return Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', zlib.deflateSync(Buffer.from(rows))), chunk('IEND', Buffer.alloc(0))]);
}

/** CRC-32 as PNG wants it; older versions of node have none. */
function crc(bytes) {
  if (zlib.crc32) return zlib.crc32(bytes);
  let sum = ~0;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return ~sum >>> 0;
}
