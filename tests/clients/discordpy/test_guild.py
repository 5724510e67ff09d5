"""Roles, channels, members, permissions, presence, member requests, bans."""

import asyncio
import os

import discord
import pytest

from conftest import CHANNEL_ID, DEADLINE, GUILD_ID, connected, disconnected


async def test_role_and_member_updates(a, b, guild):
    role = await guild.create_role(name="Crew", colour=discord.Colour(0x123456), hoist=True)
    seen = await b.record.wait("guild_role_create", lambda seen: seen.id == role.id)
    assert (seen.name, seen.colour.value, seen.hoist) == ("Crew", 0x123456, True)
    await role.edit(name="Team", permissions=discord.Permissions(manage_messages=True))
    _, after = await b.record.wait("guild_role_update", lambda _, after: after.id == role.id)
    assert after.name == "Team" and after.permissions.manage_messages
    member = await guild.fetch_member(b.user.id)
    await member.add_roles(role)
    _, after = await b.record.wait("member_update", lambda _, after: any(r.id == role.id for r in after.roles))
    assert after.id == b.user.id
    await member.edit(nick="Bee")
    await b.record.wait("member_update", lambda _, after: after.nick == "Bee")
    assert (await guild.fetch_member(b.user.id)).nick == "Bee"
    await member.edit(nick=None)
    before_events = len(b.record.events)
    await member.remove_roles(role)
    await b.record.wait(
        "member_update",
        lambda before, after: any(r.id == role.id for r in before.roles) and not any(r.id == role.id for r in after.roles))
    assert len(b.record.events) > before_events
    await role.delete()
    await b.record.wait("guild_role_delete", lambda gone: gone.id == role.id)
    assert b.get_guild(GUILD_ID).get_role(role.id) is None


async def test_channel_create_edit_delete(a, b, guild):
    category = await guild.create_category("Rooms")
    made = await guild.create_text_channel("room", topic="about", category=category)
    seen = await b.record.wait("guild_channel_create", lambda channel: channel.id == made.id)
    assert (seen.name, seen.topic, seen.category_id) == ("room", "about", category.id)
    await made.edit(name="hall", topic="more", slowmode_delay=0, nsfw=True)
    _, after = await b.record.wait("guild_channel_update", lambda _, after: after.id == made.id)
    assert (after.name, after.topic, after.nsfw) == ("hall", "more", True)
    voice = await guild.create_voice_channel("talk")
    assert voice.id in {channel.id for channel in await guild.fetch_channels()}
    for channel in (made, voice, category):
        await channel.delete()
        await b.record.wait("guild_channel_delete", lambda gone: gone.id == channel.id)


async def test_permission_denial(a, b, guild, channel):
    mine = await channel.send("not yours")
    theirs = await b.get_channel(CHANNEL_ID).fetch_message(mine.id)
    for refused in (theirs.delete(), b.get_guild(GUILD_ID).create_role(name="x"),
                    b.get_guild(GUILD_ID).create_text_channel("x"),
                    b.get_guild(GUILD_ID).get_member(a.user.id).kick()):
        with pytest.raises(discord.Forbidden) as error:
            await refused
        assert error.value.code == 50013
    hidden = await guild.create_text_channel(
        "hidden", overwrites={guild.default_role: discord.PermissionOverwrite(view_channel=False)})
    partial = b.get_partial_messageable(hidden.id, guild_id=GUILD_ID)
    for refused in (partial.send("x"), b.fetch_channel(hidden.id), anext(partial.history())):
        with pytest.raises(discord.Forbidden) as error:
            await refused
        assert error.value.code == 50001
    await hidden.delete()


async def test_a_hidden_channel_does_not_leak(a, b, guild, channel):
    hidden = await guild.create_text_channel(
        "secret", overwrites={guild.default_role: discord.PermissionOverwrite(view_channel=False)})
    sent = await hidden.send("nobody hears this")
    await sent.edit(content="nor this")
    await sent.add_reaction("👀")
    await hidden.typing()
    await sent.pin()
    await hidden.edit(topic="still secret")
    await sent.delete()
    # Order in a guild is total: when this arrives, all of the above would have.
    fence = await channel.send("fence")
    await b.record.wait("message", lambda message: message.id == fence.id)
    assert b.get_channel(hidden.id) is None
    assert hidden.id not in {seen.id for seen in b.get_guild(GUILD_ID).channels}
    assert hidden.id not in {seen.id for seen in await b.get_guild(GUILD_ID).fetch_channels()}
    leaked = [name for name, args in b.record.events
              if str(hidden.id) in repr(args) or "nobody hears" in repr(args)]
    assert leaked == []

    # Shown: it appears. Hidden again: it disappears, and nothing of it arrives any more.
    member = guild.get_member(b.user.id)
    await hidden.set_permissions(member, view_channel=True)
    await b.record.wait("guild_channel_create", lambda seen: seen.id == hidden.id)
    heard = await hidden.send("now you hear it")
    await b.record.wait("message", lambda message: message.id == heard.id)
    await hidden.set_permissions(member, overwrite=None)
    again = await hidden.send("and now not")
    fence = await channel.send("second fence")
    await b.record.wait("message", lambda message: message.id == fence.id)
    assert b.record.seen("message", lambda message: message.id == again.id) is None
    await hidden.delete()


async def test_a_client_that_starts_later_does_not_see_the_hidden_channel(a, guild):
    hidden = await guild.create_text_channel(
        "attic", overwrites={guild.default_role: discord.PermissionOverwrite(view_channel=False)})
    late = await connected(os.environ["TOKEN_B"])
    assert late.get_channel(hidden.id) is None
    await disconnected(late)
    await hidden.delete()


async def test_query_members_and_chunk(a, b, guild):
    found = await guild.query_members("Guildhall", limit=10)
    assert {member.id for member in found} >= {a.user.id, b.user.id}
    assert await guild.query_members("no such name", limit=5) == []
    by_id = await guild.query_members(user_ids=[b.user.id], presences=True)
    assert [member.id for member in by_id] == [b.user.id]
    assert by_id[0].status is discord.Status.online
    assert {member.id async for member in guild.fetch_members(limit=None)} == {m.id for m in guild.members}


async def test_chunking_fills_the_cache():
    client = await connected(os.environ["TOKEN_A"], chunk_guilds_at_startup=False)
    members = await asyncio.wait_for(client.get_guild(GUILD_ID).chunk(), DEADLINE)
    assert len(members) == 3 and client.get_guild(GUILD_ID).chunked
    await disconnected(client)


async def test_presence_is_seen_by_the_other(a, b):
    await a.change_presence(status=discord.Status.idle, activity=discord.Game("chess"))
    _, after = await b.record.wait(
        "presence_update", lambda _, after: after.id == a.user.id and after.status is discord.Status.idle)
    assert after.activity.name == "chess"
    late = await connected(os.environ["TOKEN_B"])
    assert late.get_guild(GUILD_ID).get_member(a.user.id).status is discord.Status.idle
    await disconnected(late)
    await a.change_presence(status=discord.Status.dnd)
    await b.record.wait(
        "presence_update", lambda _, after: after.id == a.user.id and after.status is discord.Status.dnd)


async def test_going_offline_is_seen(b):
    other = await connected(os.environ["TOKEN_A"])
    await b.record.wait("presence_update", lambda _, after: after.id == other.user.id)
    await disconnected(other)
    await b.record.wait(
        "presence_update",
        lambda _, after: after.id == other.user.id and after.status is discord.Status.offline)


async def test_two_shards(b):
    client = await connected(os.environ["TOKEN_A"], cls=discord.AutoShardedClient, shard_count=2)
    assert set(client.shards) == {0, 1}
    guild = client.get_guild(GUILD_ID)
    assert guild is not None and guild.shard_id == (GUILD_ID >> 22) % 2
    sent = await b.get_channel(CHANNEL_ID).send("to one shard")
    await client.record.wait("message", lambda message: message.id == sent.id)
    fence = await b.get_channel(CHANNEL_ID).send("fence")
    await client.record.wait("message", lambda message: message.id == fence.id)
    seen = [args[0].id for event, args in client.record.events if event == "message"]
    assert seen.count(sent.id) == 1, "one shard gets it, not both"
    await disconnected(client)


async def test_guild_edit(a, b, guild):
    name = guild.name
    await guild.edit(name="Renamed")
    _, after = await b.record.wait("guild_update", lambda _, after: after.name == "Renamed")
    assert after.id == GUILD_ID
    await guild.edit(name=name)


async def test_ban_unban_and_kick(a, b, guild):
    """Last of the file: B is out of the guild for a while and the operator lets it in again."""
    await guild.ban(b.user, reason="test", delete_message_seconds=0)
    await b.record.wait("guild_remove", lambda left: left.id == GUILD_ID)
    await a.record.wait("member_ban", lambda _, user: user.id == b.user.id)
    await a.record.wait("raw_member_remove", lambda payload: payload.user.id == b.user.id)
    assert [entry.user.id async for entry in guild.bans()] == [b.user.id]
    assert (await guild.fetch_ban(b.user)).reason == "test"
    with pytest.raises((discord.Forbidden, discord.NotFound)):
        await b.fetch_guild(GUILD_ID)
    heard = len(b.record.events)
    await a.get_channel(CHANNEL_ID).send("B does not hear this")
    await guild.unban(b.user)
    await a.record.wait("member_unban", lambda _, user: user.id == b.user.id)
    with pytest.raises(discord.NotFound) as error:
        await guild.fetch_ban(b.user)
    assert error.value.code == 10026
    rejoin(b.user.id)
    joined = await b.record.wait("guild_join", lambda joined: joined.id == GUILD_ID)
    assert joined.get_channel(CHANNEL_ID) is not None
    await a.record.wait("member_join", lambda member: member.id == b.user.id)
    assert not any(name == "message" for name, _ in b.record.events[heard:])
    await guild.kick(discord.Object(b.user.id), reason="test")
    await b.record.wait("guild_remove", lambda left: b.get_guild(GUILD_ID) is None)
    assert not [entry async for entry in guild.bans()]
    rejoin(b.user.id)
    await a.record.wait(
        "raw_member_remove", lambda payload: payload.user.id == b.user.id)
    assert (await guild.fetch_member(b.user.id)).id == b.user.id


def rejoin(user_id):
    """The operator adds the bot again."""
    import subprocess

    subprocess.run(
        [os.environ["GUILDHALL_BINARY"], "admin", "--data", os.environ["GUILDHALL_DATA"],
         "add-member", "--guild", str(GUILD_ID), "--user", str(user_id)],
        check=True, timeout=DEADLINE, stdout=subprocess.DEVNULL)
