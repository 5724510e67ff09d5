// Two people chat on the page, in headless Chromium, against a node; see run.sh.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Cable, Guildhall, chart } from './node.mjs';

const { chromium } = createRequire(`${process.env.PAGE_TEST_MODULES}/`)('playwright-core');

const DEADLINE = 15_000;
const HISTORY = 120;
const WHOLE_WITHIN = 5 * 60_000;
// What a browser says itself when a connection breaks, or the server refuses what the test provokes.
const EXPECTED = /WebSocket connection to|Failed to load resource|net::ERR_/;

setTimeout(() => { console.error('page test: not done in time'); process.exit(1); }, WHOLE_WITHIN).unref();

// ── the stage ───────────────────────────────────────────────────────────────────────────────

const work = await mkdtemp(join(tmpdir(), 'guildhall-page-'));
let node = await Guildhall.start(join(work, 'data'));
const cable = await Cable.to(node);
const { GUILD_ID: guild, CHANNEL_ID: general, TOKEN_A: owner } = node.env;
const bot = (method, path, body) => node.api(`Bot ${owner}`, method, path, body);

async function person(name) {
  const account = await node.admin('create-user', '--name', name);
  await node.admin('add-member', '--guild', guild, '--user', account.id);
  return account;
}
const [ada, grace] = [await person('ada'), await person('grace')];
const archive = await bot('POST', `/guilds/${guild}/channels`, { name: 'archive', type: 0, topic: 'Older than it looks' });
await bot('PATCH', `/channels/${general}`, { topic: 'Actors, guilds and everything between' });
for (let number = 1; number <= HISTORY; number++) await bot('POST', `/channels/${archive.id}/messages`, { content: `line ${number} of ${HISTORY}` });
await bot('POST', `/channels/${general}/messages`, {
  content: '', embeds: [{
    title: 'Welcome to the hall', color: 0xc9822b,
    description: 'Each guild here is **one supervised process**. Kill it: nothing you wrote is lost.',
    fields: [{ name: 'Runtime', value: 'Erlang’s rules, in Rust', inline: true }, { name: 'Clients', value: 'any Discord library', inline: true }],
  }],
});

// A profile of its own is made at each launch.
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM, headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});
const complaints = [];

/** A page in a window of its own: tabs behind others are not drawn. */
async function openPage() {
  const page = await browser.newPage({
    viewport: { width: 1280, height: 800 }, colorScheme: process.env.SCHEME ?? 'dark', locale: 'en-GB', timezoneId: 'UTC',
  });
  page.setDefaultTimeout(DEADLINE);
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
  page.on('console', (line) => { if (line.type() === 'error' && !EXPECTED.test(line.text())) complaints.push(line.text()); });
  return page;
}

async function signIn(origin, token) {
  const page = await openPage();
  await page.goto(`${origin}/#token=${token}`);
  await state(page, 'connected');
  return page;
}

// ── what a person sees and does ─────────────────────────────────────────────────────────────

/** Waits until `probe` answers what is wanted; fails with what it answered last. */
async function eventually(probe, wanted, what) {
  const until = Date.now() + DEADLINE;
  for (;;) {
    const seen = await probe();
    const ok = typeof wanted === 'function' ? wanted(seen) : Object.is(seen, wanted);
    if (ok) return seen;
    if (Date.now() > until) assert.fail(`${what}: ${JSON.stringify(seen)}`);
    await new Promise((done) => setTimeout(done, 30));
  }
}

const stateText = (page) => page.locator('#state').textContent();
const state = (page, word) => eventually(() => stateText(page), (text) => text.startsWith(word), `the state line does not say “${word}”`);
const message = (page, text) => page.locator('.message', { has: page.locator('.content', { hasText: text }) }).last();
const see = (page, text) => message(page, text).waitFor();
const contents = async (page) => (await page.locator('.message .content').allTextContents()).map((text) => text.trim());
const count = (locator, wanted, what) => eventually(() => locator.count(), wanted, what);

async function say(page, text) {
  await page.locator('#box').fill(text);
  await page.locator('#box').press('Enter');
}

async function act(page, text, action) {
  const line = message(page, text);
  await line.hover();
  await line.locator(`[data-action=${action}]`).click();
}

let step = '';
async function check(name, body) {
  step = name;
  const from = Date.now();
  await body();
  assert.deepEqual(complaints, [], 'the browser complained');
  console.log(`  ok  ${name} (${Date.now() - from} ms)`);
}

// ── the play ────────────────────────────────────────────────────────────────────────────────

let a, b, failed = false;
try {
  await check('a wrong token is refused in words', async () => {
    const page = await openPage();
    await page.goto(cable.origin);
    await page.locator('#token').fill('nonsense');
    await page.locator('#token').press('Enter');
    await eventually(() => page.locator('#signin-error').textContent(), (text) => text.includes('not valid'), 'no error shown');
    await page.close();
  });

  await check('a link with a token signs in, and the token leaves the address', async () => {
    a = await signIn(cable.origin, ada.token);
    b = await signIn(`http://127.0.0.1:${node.port}`, grace.token);
    assert.ok(!a.url().includes('token'), a.url());
    assert.equal(await a.locator('#guild-name').textContent(), 'Guildhall');
    await eventually(() => a.locator('#channel-name').textContent(), '# general', 'the channel');
    await see(a, 'one supervised process');
    assert.equal(await a.locator('.embed strong').first().textContent(), 'Welcome to the hall');
  });

  await check('history is paged while scrolling back, to the first line', async () => {
    await a.locator('#channels button', { hasText: 'archive' }).click();
    await see(a, `line ${HISTORY} of`);
    await count(a.locator('.message'), (number) => number >= 50 && number < HISTORY, 'the first page is not the whole history');
    await eventually(async () => {
      await a.locator('#scroll').evaluate((scroll) => { scroll.scrollTop = 0; });
      return a.locator('.message').count();
    }, HISTORY, 'all lines');
    await a.getByText('Welcome to #archive').waitFor();
    const wanted = Array.from({ length: HISTORY }, (_, index) => `line ${index + 1} of ${HISTORY}`);
    assert.deepEqual(await contents(a), wanted);
    await a.locator('#channels button', { hasText: 'general' }).click();
    await see(a, 'one supervised process');
  });

  await check('a message shows on the other page at once, and once', async () => {
    await say(a, 'Has anyone tried to **kill a guild** while people talk?');
    await see(b, 'Has anyone tried');
    await count(b.locator('.content strong', { hasText: 'kill a guild' }), 1, 'bold text');
    await count(message(a, 'Has anyone tried'), 1, 'the own message');
    await count(a.locator('.message.pending'), 0, 'nothing pending');
  });

  await check('what looks like markup stays text', async () => {
    const nasty = '<img src=x onerror="document.title=1"> <script>1</script>';
    await say(b, nasty);
    await eventually(async () => (await contents(a)).at(-1), nasty, 'the text as it was written');
    assert.equal(await a.locator('.content img, .content script').count(), 0);
    await act(b, '<img', 'delete');
    await act(b, '<img', 'delete');
    await count(a.locator('.content', { hasText: '<img' }), 0, 'deleted on the other page');
  });

  await check('a reply shows what it answers', async () => {
    await act(b, 'Has anyone tried', 'reply');
    await say(b, 'Just did. It came back from the stor, and no message was missing.');
    await see(a, 'came back');
    await eventually(() => message(a, 'came back').locator('.answered').textContent(), (text) => text.includes('ada') && text.includes('Has anyone'), 'the answered message');
  });

  await check('an edit shows, marked as edited', async () => {
    await b.locator('#box').press('ArrowUp');
    const box = b.locator('.edit textarea');
    await box.fill('Just did. It came back from the store, and no message was missing.');
    await box.press('Enter');
    await see(a, 'from the store,');
    await count(message(a, 'from the store,').locator('.edited'), 1, 'the mark');
  });

  await check('reactions count on both pages', async () => {
    await act(a, 'Just did', 'react');
    await a.locator('#picker [data-emoji="🎉"]').click();
    const chip = (page) => message(page, 'Just did').locator('[data-emoji="🎉"]');
    await eventually(() => chip(b).textContent(), '🎉 1', 'one reaction');
    await chip(b).click();
    await eventually(() => chip(a).textContent(), '🎉 2', 'two reactions');
    await eventually(() => chip(a).getAttribute('aria-pressed'), 'true', 'own reaction marked');
    await chip(b).click();
    await eventually(() => chip(a).textContent(), '🎉 1', 'one taken back');
    await chip(b).click();
    await eventually(() => chip(a).textContent(), '🎉 2', 'two again');
  });

  await check('an uploaded picture shows', async () => {
    const values = Array.from({ length: 24 }, (_, index) => 0.25 + 0.6 * Math.abs(Math.sin(index / 4)));
    await a.locator('#file').setInputFiles({ name: 'deliveries.png', mimeType: 'image/png', buffer: chart(values) });
    await a.locator('#files img').waitFor();
    await say(a, 'The same while I looked at the graphs:');
    const picture = message(b, 'looked at the graphs').locator('.attachment img');
    await picture.waitFor();
    await eventually(() => picture.evaluate((img) => img.naturalWidth), 384, 'the picture is loaded');
    await count(a.locator('#files li'), 0, 'nothing left to send');
  });

  await check('code stays code', async () => {
    await say(b, 'The whole process is this:\n```rust\nimpl GenServer for Guild {\n    type Message = Message;\n}\n```');
    await eventually(() => a.locator('.content pre code').last().textContent(), (text) => text.startsWith('impl GenServer') && text.includes('\n    type'), 'a block of code');
  });

  await check('typing shows, and ends with the message', async () => {
    await b.locator('#box').pressSequentially('And it is ');
    await eventually(() => a.locator('#typing .who').textContent(), 'grace is typing…', 'typing');
  });

  await check('presence shows', async () => {
    const row = (page, { id }) => page.locator(`#members [data-id="${id}"]`);
    await eventually(() => row(a, grace).getAttribute('data-status'), 'online', 'online');
    await b.getByLabel('Your status').selectOption('dnd');
    await eventually(() => row(a, grace).getAttribute('data-status'), 'dnd', 'do not disturb');
    if (process.env.SCREENSHOT) {
      await eventually(() => a.locator('#typing .who').textContent(), 'grace is typing…', 'typing');
      await a.mouse.move(640, 40);
      await a.screenshot({ path: process.env.SCREENSHOT });
    }
    await b.getByLabel('Your status').selectOption('invisible');
    await eventually(() => row(a, grace).getAttribute('data-status'), 'offline', 'invisible is offline');
    await b.getByLabel('Your status').selectOption('online');
    await eventually(() => row(a, grace).getAttribute('data-status'), 'online', 'online again');
    await b.locator('#box').press('Enter');
    await see(a, 'And it is');
    await eventually(() => a.locator('#typing .who').textContent(), '', 'typing is over');
  });

  await check('the socket is cut: resumed, and nothing is lost', async () => {
    for (let round = 1; round <= 3; round++) {
      cable.pull();
      await state(a, 'reconnecting');
      const lines = Array.from({ length: 5 }, (_, index) => `round ${round}, line ${index + 1}`);
      for (const line of lines) {
        await say(b, line);
        await count(b.locator('.message.pending'), 0, 'sent');
      }
      cable.plug();
      const text = await state(a, 'resumed');
      const replayed = Number(text.match(/\d+/)[0]);
      assert.ok(replayed >= lines.length, text);
      await see(a, lines.at(-1));
      const seen = (await contents(a)).filter((line) => line.startsWith(`round ${round},`));
      assert.deepEqual(seen, lines);
    }
  });

  await check('a message written while cut off is sent later, once', async () => {
    cable.pull();
    await state(a, 'reconnecting');
    await say(a, 'written in the dark');
    const failedLine = a.locator('.message.pending', { hasText: 'written in the dark' });
    await failedLine.getByText('Not sent').waitFor();
    cable.plug();
    await state(a, 'resumed');
    await failedLine.getByText('Try again').click();
    await see(b, 'written in the dark');
    await count(a.locator('.message', { hasText: 'written in the dark' }), 1, 'once');
    await count(a.locator('.message.pending'), 0, 'nothing pending');
  });

  await check('another channel counts what is unread', async () => {
    await bot('POST', `/channels/${archive.id}/messages`, { content: 'one more line' });
    await eventually(() => a.locator('#channels button', { hasText: 'archive' }).locator('.badge').textContent(), '1', 'one unread');
    await eventually(() => a.title(), (title) => title.startsWith('(1)'), 'the title counts');
  });

  await check('every button and field has a name', async () => {
    const nameless = await a.locator('button, input:not([hidden]), textarea, select').evaluateAll((all) => all
      .filter((one) => !(one.textContent.trim() || one.getAttribute('aria-label') || one.labels?.length)).map((one) => one.outerHTML));
    assert.deepEqual(nameless, []);
  });

  await check('a small window shows the messages, and the lists on demand', async () => {
    await a.setViewportSize({ width: 390, height: 740 });
    await a.locator('#sidebar').waitFor({ state: 'hidden' });
    await a.getByRole('button', { name: 'Guilds and channels' }).click();
    await a.locator('#channels button', { hasText: 'archive' }).click();
    await see(a, 'one more line');
    await a.locator('#sidebar').waitFor({ state: 'hidden' });
    const wide = await a.locator('html').evaluate((html) => html.scrollWidth > html.clientWidth);
    assert.equal(wide, false, 'the page scrolls sideways');
    await a.setViewportSize({ width: 1280, height: 800 });
    await a.locator('#channels button', { hasText: 'general' }).click();
  });

  await check('the node is killed and comes back: a new session, the history whole', async () => {
    const before = (await bot('GET', `/channels/${general}/messages?limit=50`)).length;
    await node.kill();
    await state(a, 'reconnecting');
    node = await Guildhall.start(node.data, `127.0.0.1:${node.port}`);
    cable.node = node;
    await state(a, 'connected again');
    await state(b, 'connected again');
    await count(a.locator('.message'), before, 'all messages');
    await say(b, 'and on we go');
    await see(a, 'and on we go');
  });

  await check('a node that stops in order says so, and exits with 0', async () => {
    const stopped = node.stop();
    await state(a, 'reconnecting');
    assert.equal(await stopped, 0);
  });
  console.log('page test: all passed');
} catch (error) {
  failed = true;
  console.error(`FAILED  ${step}\n`, error);
  if (complaints.length) console.error('the browser complained:', complaints);
  const picture = join(tmpdir(), 'guildhall-page-failed.png');
  await a?.screenshot({ path: picture }).then(() => console.error(`see ${picture}`), () => {});
} finally {
  await browser.close();
  cable.close();
  await node.kill();
  await rm(work, { recursive: true, force: true, maxRetries: 5 });
}
process.exit(failed ? 1 : 0);
