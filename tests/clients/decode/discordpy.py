"""Stock discord.py over the compression of GUILDHALL_COMPRESSION; see conftest.py of its suite."""

import asyncio
import hashlib
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "discordpy"))
import conftest  # noqa: E402  redirects the library
import discord  # noqa: E402
from discord.utils import _from_json  # noqa: E402

COMPRESSION = os.environ.get("GUILDHALL_COMPRESSION", "zstd")


class Checking(discord.Client):
    sequence = None
    events = 0
    messages = 0
    handled = 0

    async def on_ready(self):
        assert self.ws._decompressor.COMPRESSION_TYPE == f"{COMPRESSION}-stream"
        print("ready", flush=True)

    async def on_socket_raw_receive(self, text):
        packet = _from_json(text)
        if packet["op"] != 0:
            return
        if self.sequence is not None and packet["s"] != self.sequence + 1:
            return self.fail(f"number {packet['s']} after {self.sequence}")
        self.sequence = packet["s"]
        self.events += 1
        if packet["t"] not in ("MESSAGE_CREATE", "MESSAGE_UPDATE"):
            return
        content = packet["d"]["content"]
        if content == "the end":
            return self.done.set_result(None)
        self.messages += 1
        body, _, digest = content.rpartition(" #")
        if hashlib.sha256(body.encode()).hexdigest()[:16] != digest:
            self.fail(f"a content is not what was sent: {content}")

    async def on_message(self, message):
        self.handled += 1

    async def on_disconnect(self):
        self.fail("disconnected")

    async def on_error(self, event, *args, **kwargs):
        self.fail(f"{event}: {sys.exc_info()[1]!r}")

    def fail(self, why):
        if not self.done.done():
            self.done.set_exception(AssertionError(why))


async def main():
    intents = discord.Intents.none()
    intents.guilds = intents.guild_messages = intents.message_content = intents.guild_typing = True
    client = Checking(intents=intents, enable_debug_events=True, max_messages=10)
    client.done = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(client.start(os.environ["TOKEN_B"]))
    await client.done
    print(
        f"discord.py {discord.__version__}, {COMPRESSION}-stream: {client.events} events, "
        f"{client.messages} messages, none missing or changed"
    )
    assert client.handled > 0, "discord.py made no message of them"
    await client.close()
    await asyncio.gather(running, return_exceptions=True)


asyncio.run(main())
