// Stock discord.js over zlib-stream: it takes that because zlib-sync is installed.
import { Client, GatewayIntentBits, Options, version } from "discord.js";
import { Check } from "./check.mjs";

const check = new Check(`discord.js ${version}, zlib-stream`);
const client = new Client({
  intents: [GatewayIntentBits.Guilds, GatewayIntentBits.GuildMessages, GatewayIntentBits.MessageContent, GatewayIntentBits.GuildMessageTyping],
  rest: { api: process.env.API_BASE.replace(/\/v\d+$/, "") },
  makeCache: Options.cacheWithLimits({ MessageManager: 10 }),
});
let handled = 0;
client.on("raw", (packet) => check.packet(packet));
client.on("messageCreate", () => handled++);
client.on("error", (error) => check.fail(`error: ${error}`));
client.on("shardDisconnect", ({ code }) => check.fail(`closed with ${code}`));
client.on("shardReconnecting", () => check.fail("reconnecting"));
client.once("clientReady", () => console.log("ready"));
await client.login(process.env.TOKEN_B);
await check.report();
if (handled === 0) throw new Error("discord.js made no message of them");
await client.destroy();
