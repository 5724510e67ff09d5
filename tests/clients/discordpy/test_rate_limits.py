"""With limits on: the library is told what it needs to keep to them, and everything gets through."""

import asyncio
import logging

import aiohttp
import os

from conftest import CHANNEL_ID


async def test_a_burst_gets_through(a, b, channel):
    sent = await asyncio.gather(*(channel.send(f"burst {number}") for number in range(12)))
    last = max(message.id for message in sent)
    await b.record.wait("message", lambda message: message.id == last)
    seen = {args[0].id for event, args in b.record.events if event == "message"}
    assert {message.id for message in sent} <= seen


async def test_a_429_is_handled_inside_the_library(a, channel, caplog):
    """Somebody else with the same token uses the bucket up; the library waits and goes on."""
    caplog.set_level(logging.WARNING, logger="discord.http")
    url = f"{os.environ['API_BASE']}/channels/{CHANNEL_ID}/messages"
    headers = {"Authorization": f"Bot {os.environ['TOKEN_A']}"}
    refused = 0
    async with aiohttp.ClientSession(headers=headers) as session:
        for number in range(20):
            async with session.post(url, json={"content": f"other {number}"}) as answer:
                refused += answer.status == 429
                if answer.status == 429:
                    break
    assert refused == 1
    message = await channel.send("through the limit")
    assert message.id
    assert any("rate limit" in record.message.lower() for record in caplog.records)
