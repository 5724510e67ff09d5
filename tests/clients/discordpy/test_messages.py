"""Messages, seen by the other bot: send, edit, delete, react, reply, embed, buttons, files, pages."""

import asyncio
import io
import os

import discord
import pytest

from conftest import CHANNEL_ID, GUILD_ID


async def test_login_and_guild(a, b):
    assert a.user.bot and a.user.id != b.user.id
    assert a.application_id == a.user.id
    for client in (a, b):
        guild = client.get_guild(GUILD_ID)
        assert guild is not None and not guild.unavailable
        assert guild.owner_id == a.user.id
        assert guild.member_count == 3
        assert {a.user.id, b.user.id} <= {member.id for member in guild.members}
        assert client.get_channel(CHANNEL_ID).name == "general"
        assert guild.me.id == client.user.id
        assert guild.default_role.id == guild.id
    info = await a.application_info()
    assert info.id == a.user.id
    fetched = await a.fetch_guild(GUILD_ID)
    assert fetched.name == a.get_guild(GUILD_ID).name
    assert (await a.fetch_user(b.user.id)).name == b.user.name
    assert (await a.get_guild(GUILD_ID).fetch_member(b.user.id)).id == b.user.id


async def test_compression_is_the_one_asked_for(a):
    wanted = os.environ.get("GUILDHALL_COMPRESSION", "zstd")
    assert a.ws._decompressor.COMPRESSION_TYPE == f"{wanted}-stream"


async def test_send_edit_delete(a, b, channel):
    sent = await channel.send("hello from A — ünïcode 🦀", nonce="n1")
    got = await b.record.wait("message", lambda message: message.id == sent.id)
    assert (got.content, got.author.id, got.guild.id) == (sent.content, a.user.id, GUILD_ID)
    assert isinstance(got.author, discord.Member)
    edited = await sent.edit(content="edited")
    before, after = await b.record.wait("message_edit", lambda _, after: after.id == sent.id)
    assert (before.content, after.content) == (sent.content, "edited") and after.edited_at
    assert edited.content == "edited"
    fetched = await b.get_channel(CHANNEL_ID).fetch_message(sent.id)
    assert fetched.content == "edited" and fetched.edited_at == after.edited_at
    await sent.delete()
    gone = await b.record.wait("message_delete", lambda message: message.id == sent.id)
    assert gone.id == sent.id
    with pytest.raises(discord.NotFound) as refused:
        await channel.fetch_message(sent.id)
    assert refused.value.code == 10008


async def test_order_is_the_same_for_both(a, b, fresh):
    sent = [(await fresh.send(f"number {number}")).id for number in range(30)]
    for client in (a, b):
        await client.record.wait("message", lambda message: message.id == sent[-1])
        seen = [args[0].id for event, args in client.record.events
                if event == "message" and args[0].channel.id == fresh.id]
        assert seen == sent


async def test_reactions(a, b, channel, channel_b):
    sent = await channel.send("react to me")
    theirs = await channel_b.fetch_message(sent.id)
    await theirs.add_reaction("👍")
    reaction, user = await a.record.wait("reaction_add", lambda reaction, _: reaction.message.id == sent.id)
    assert (str(reaction.emoji), user.id) == ("👍", b.user.id)
    await sent.add_reaction("👍")
    fetched = await channel_b.fetch_message(sent.id)
    assert [(str(entry), entry.count, entry.me) for entry in fetched.reactions] == [("👍", 2, True)]
    users = [user.id async for user in fetched.reactions[0].users()]
    assert sorted(users) == sorted([a.user.id, b.user.id])
    await theirs.remove_reaction("👍", b.user)
    await a.record.wait("reaction_remove", lambda reaction, user: user.id == b.user.id)
    await sent.clear_reactions()
    await b.record.wait("reaction_clear", lambda message, _: message.id == sent.id)
    assert (await channel.fetch_message(sent.id)).reactions == []


async def test_typing(a, b, channel):
    await channel.typing()
    where, who, _ = await b.record.wait("typing", lambda where, who, when: who.id == a.user.id)
    assert where.id == CHANNEL_ID


async def test_reply(a, b, channel, channel_b):
    asked = await channel.send("a question")
    theirs = await channel_b.fetch_message(asked.id)
    answer = await theirs.reply("an answer", mention_author=True)
    got = await a.record.wait("message", lambda message: message.id == answer.id)
    assert got.type is discord.MessageType.reply
    assert got.reference.message_id == asked.id
    assert got.reference.resolved.content == "a question"
    assert [user.id for user in got.mentions] == [a.user.id]
    await asked.delete()
    fetched = await channel.fetch_message(answer.id)
    assert fetched.reference.message_id == asked.id
    assert not isinstance(fetched.reference.resolved, discord.Message)


async def test_mentions_are_parsed_and_allowed_mentions_hold(a, b, guild, channel):
    sent = await channel.send(f"{b.user.mention} and @everyone")
    assert [user.id for user in sent.mentions] == [b.user.id] and sent.mention_everyone
    quiet = await channel.send(
        f"{b.user.mention} and @everyone", allowed_mentions=discord.AllowedMentions.none())
    assert quiet.mentions == [] and not quiet.mention_everyone


async def test_embed_and_buttons(a, b, channel):
    embed = discord.Embed(title="Title", description="Text", colour=0x336699, url="https://example.com/x")
    embed.add_field(name="one", value="1", inline=True).set_footer(text="foot").set_author(name="me")
    view = discord.ui.View(timeout=None)
    view.add_item(discord.ui.Button(label="Press", custom_id="press", style=discord.ButtonStyle.primary))
    view.add_item(discord.ui.Button(label="Look", url="https://example.com/"))
    sent = await channel.send(embed=embed, view=view)
    got = await b.record.wait("message", lambda message: message.id == sent.id)
    theirs = got.embeds[0]
    assert (theirs.title, theirs.description, theirs.colour.value) == ("Title", "Text", 0x336699)
    assert [(field.name, field.value, field.inline) for field in theirs.fields] == [("one", "1", True)]
    assert (theirs.footer.text, theirs.author.name) == ("foot", "me")
    row = got.components[0]
    assert [type(item) for item in row.children] == [discord.Button, discord.Button]
    assert (row.children[0].custom_id, row.children[1].url) == ("press", "https://example.com/")
    with pytest.raises(discord.HTTPException) as refused:
        await channel.send(embed=discord.Embed(title="x" * 257))
    assert (refused.value.status, refused.value.code) == (400, 50035)


async def test_attachment_bytes(a, b, channel):
    blob = os.urandom(300_000)
    text = "déjà vu\n".encode()
    sent = await channel.send(
        "files",
        files=[discord.File(io.BytesIO(blob), "blob.bin", description="random"),
               discord.File(io.BytesIO(text), "text.txt", spoiler=True)])
    got = await b.record.wait("message", lambda message: message.id == sent.id)
    assert [(file.filename, file.size) for file in got.attachments] == [
        ("blob.bin", len(blob)), ("SPOILER_text.txt", len(text))]
    assert got.attachments[0].description == "random" and got.attachments[1].is_spoiler()
    assert await got.attachments[0].read() == blob
    assert await got.attachments[1].read() == text


async def test_history_of_250_paged_three_ways(a, b, fresh):
    sent = []
    for start in range(0, 250, 25):
        batch = await asyncio.gather(*(fresh.send(str(number)) for number in range(start, start + 25)))
        sent.extend(batch)
    ids = sorted(message.id for message in sent)
    theirs = b.get_channel(fresh.id)
    newest_first = [message.id async for message in theirs.history(limit=None)]
    assert newest_first == ids[::-1]
    oldest_first = [message.id async for message in theirs.history(limit=None, oldest_first=True)]
    assert oldest_first == ids
    middle = discord.Object(ids[120])
    before = [message.id async for message in theirs.history(limit=None, before=middle)]
    assert before == ids[:120][::-1]
    after = [message.id async for message in theirs.history(limit=None, after=middle)]
    assert after == ids[121:]
    around = [message.id async for message in theirs.history(limit=21, around=middle)]
    assert sorted(around) == ids[110:131]
    assert [message.id async for message in theirs.history(limit=3)] == ids[:-4:-1]
    since = [message.id async for message in theirs.history(limit=150, after=discord.Object(ids[9]))]
    assert since == ids[10:160]


async def test_bulk_delete_and_purge(a, b, fresh):
    sent = [await fresh.send(str(number)) for number in range(8)]
    await fresh.delete_messages(sent[:3])
    gone = await b.record.wait("raw_bulk_message_delete", lambda payload: payload.channel_id == fresh.id)
    assert gone.message_ids == {message.id for message in sent[:3]}
    purged = await fresh.purge(limit=100)
    assert {message.id for message in purged} == {message.id for message in sent[3:]}
    assert [message async for message in fresh.history()] == []


async def test_pins(a, b, fresh):
    first, second = await fresh.send("first"), await fresh.send("second")
    await first.pin()
    await second.pin()
    await b.record.wait("guild_channel_pins_update", lambda channel, when: channel.id == fresh.id)
    theirs = b.get_channel(fresh.id)
    assert [message.id async for message in theirs.pins()] == [second.id, first.id]
    await first.unpin()
    assert [message.id async for message in theirs.pins()] == [second.id]
    assert (await theirs.fetch_message(second.id)).pinned
