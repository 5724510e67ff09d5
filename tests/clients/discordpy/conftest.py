"""Two stock bots per test: A owns the guild, B is a plain member.

The library is redirected by exactly two names, and nothing else of it is touched:
`discord.http.Route.BASE` and `discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY`. It takes
zstd-stream when a zstd module is installed; with GUILDHALL_COMPRESSION=zlib these are hidden
from it before it is imported, and it takes zlib-stream.
"""

import asyncio
import os
import sys

if os.environ.get("GUILDHALL_COMPRESSION") == "zlib":
    for module in ("zstandard", "compression.zstd", "backports.zstd"):
        sys.modules[module] = None

import discord  # noqa: E402
import discord.http  # noqa: E402
import discord.gateway  # noqa: E402
import pytest  # noqa: E402
import pytest_asyncio  # noqa: E402
import yarl  # noqa: E402

discord.http.Route.BASE = os.environ["API_BASE"]
discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(os.environ["GATEWAY_URL"] + "/")

GUILD_ID = int(os.environ["GUILD_ID"])
CHANNEL_ID = int(os.environ["CHANNEL_ID"])
DEADLINE = 20


class Recorder:
    """Every event the library dispatches to its users, in order; and waiting for one."""

    def __init__(self):
        self.events = []
        self.errors = []
        self.changed = asyncio.Event()

    def add(self, event, args):
        self.events.append((event, args))
        self.changed.set()

    def seen(self, name, check=lambda *args: True):
        for event, args in self.events:
            if event == name and check(*args):
                return args if len(args) != 1 else args[0]
        return None

    async def wait(self, name, check=lambda *args: True):
        """The first event of that name that passes `check`, past ones included."""

        async def look():
            while True:
                self.changed.clear()
                found = self.seen(name, check)
                if found is not None:
                    return found
                await self.changed.wait()

        try:
            return await asyncio.wait_for(look(), DEADLINE)
        except asyncio.TimeoutError:
            names = [event for event, _ in self.events if not event.startswith("socket")]
            raise AssertionError(f"{name} did not arrive in {DEADLINE} s; seen: {names}") from None


def recorded(cls):
    """The client class as a user's subclass that keeps what it is told."""

    class Recorded(cls):
        record = None

        def dispatch(self, event, /, *args, **kwargs):
            self.record.add(event, args)
            super().dispatch(event, *args, **kwargs)

        async def on_error(self, event, *args, **kwargs):
            self.record.errors.append((event, sys.exc_info()[1]))

    return Recorded


async def connected(token, *, cls=discord.Client, **options):
    """A logged-in client whose guild is there."""
    client = recorded(cls)(intents=discord.Intents.all(), guild_ready_timeout=0.3, **options)
    client.record = Recorder()
    client.task = asyncio.create_task(client.start(token))
    ready = asyncio.create_task(client.record.wait("ready"))
    done, _ = await asyncio.wait({client.task, ready}, return_when=asyncio.FIRST_COMPLETED)
    if client.task in done:
        ready.cancel()
        client.task.result()
        raise AssertionError("the client ended before it was ready")
    ready.result()
    return client


async def disconnected(client):
    """Ends the session at once, then closes the client.

    `Client.close` interrupts its own reader, which answers with close code 4000: the session would
    stay for the resume window, and its user online with it. So 1000 is sent first.
    """
    shards = getattr(client, "_AutoShardedClient__shards", None)
    for ws in [shard.ws for shard in shards.values()] if shards else [client.ws]:
        if ws.open:
            await ws.socket._writer.close(1000)
    await client.close()
    await asyncio.wait_for(asyncio.gather(client.task, return_exceptions=True), DEADLINE)
    assert client.record.errors == [], "no handler and no parser raised"


@pytest_asyncio.fixture
async def a():
    client = await connected(os.environ["TOKEN_A"])
    yield client
    await disconnected(client)


@pytest_asyncio.fixture
async def b():
    client = await connected(os.environ["TOKEN_B"])
    yield client
    await disconnected(client)


@pytest.fixture
def guild(a):
    return a.get_guild(GUILD_ID)


@pytest.fixture
def channel(a):
    return a.get_channel(CHANNEL_ID)


@pytest.fixture
def channel_b(b):
    return b.get_channel(CHANNEL_ID)


@pytest_asyncio.fixture
async def fresh(a, b, guild):
    """A channel of this test's own, seen by both, deleted afterwards."""
    made = await guild.create_text_channel("fresh")
    await b.record.wait("guild_channel_create", lambda channel: channel.id == made.id)
    yield made
    await made.delete()
