// Stock @discordjs/ws, the gateway library of discord.js, over zlib-stream by Node's own zlib.
import { CompressionMethod, WebSocketManager, WebSocketShardEvents } from "@discordjs/ws-2";
import { GatewayIntentBits } from "discord-api-types/v10";
import { REST } from "@discordjs/rest";
import { Check } from "./check.mjs";

const check = new Check("@discordjs/ws 2, zlib-stream");
const rest = new REST({ api: process.env.API_BASE.replace(/\/v\d+$/, "") }).setToken(process.env.TOKEN_B);
const manager = new WebSocketManager({
  token: process.env.TOKEN_B,
  intents: GatewayIntentBits.Guilds | GatewayIntentBits.GuildMessages | GatewayIntentBits.MessageContent | GatewayIntentBits.GuildMessageTyping,
  rest,
  compression: CompressionMethod.ZlibNative,
});
manager.on(WebSocketShardEvents.Dispatch, (packet) => check.packet(packet));
manager.on(WebSocketShardEvents.Error, (error) => check.fail(`error: ${error}`));
manager.on(WebSocketShardEvents.Closed, (code) => check.fail(`closed with ${code}`));
manager.on(WebSocketShardEvents.Ready, () => console.log("ready"));
await manager.connect();
await check.report();
process.exit(0);
