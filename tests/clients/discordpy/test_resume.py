"""A cut connection: the library resumes by itself, and nothing is lost, repeated or reordered."""

import asyncio

ROUNDS = 10


async def test_resume_after_an_aborted_socket_loses_nothing(a, b, fresh):
    session = b.ws.session_id
    sent = []
    for number in range(ROUNDS):
        sent.append((await fresh.send(f"{number} before")).id)
        resumed = sum(event == "resumed" for event, _ in b.record.events)
        cut(b)
        for extra in range(3):
            sent.append((await fresh.send(f"{number} while away {extra}")).id)
        await b.record.wait("message", lambda message: message.id == sent[-1])
        await until(lambda: sum(event == "resumed" for event, _ in b.record.events) > resumed)
    assert b.ws.session_id == session, "the same session goes on"
    assert not any(event == "ready" for event, _ in b.record.events[resume_point(b):])
    seen = [args[0].id for event, args in b.record.events
            if event == "message" and args[0].channel.id == fresh.id]
    assert seen == sent


async def test_resume_of_a_connection_the_server_lost_track_of(a, b, fresh):
    """A cut during a burst: what was in flight arrives after the resume."""
    burst = asyncio.create_task(send_many(fresh, 60))
    await b.record.wait("message", lambda message: message.channel.id == fresh.id)
    cut(b)
    sent = await burst
    await b.record.wait("message", lambda message: message.id == sent[-1])
    seen = [args[0].id for event, args in b.record.events
            if event == "message" and args[0].channel.id == fresh.id]
    assert seen == sent


async def send_many(channel, count):
    return [(await channel.send(str(number))).id for number in range(count)]


def cut(client):
    """Aborts the TCP connection under the library, unsent and unread data included."""
    client.ws.socket._response.connection.transport.abort()


def resume_point(client):
    return next(index for index, (event, _) in enumerate(client.record.events) if event == "resumed")


async def until(condition, deadline=20):
    async def look():
        while not condition():
            await asyncio.sleep(0.02)

    await asyncio.wait_for(look(), deadline)
