//! Stock twilight-gateway and twilight-http, redirected by `proxy_url` and `proxy` only.
//!
//! twilight parses strictly: an event or an answer that lacks a field fails the test. Its gateway
//! speaks zstd-stream here (the zlib feature yields to it); zlib-stream is in `compression.rs` and
//! in the discord.py suite.

use twilight_gateway::{
    CloseFrame, ConfigBuilder, Event, EventTypeFlags, Intents, Session, Shard, ShardId,
    StreamExt as _,
};
use twilight_http::Client;
use twilight_http::api_error::ApiError;
use twilight_http::error::ErrorType;
use twilight_http::request::channel::reaction::RequestReactionType;
use twilight_model::channel::message::component::{ActionRow, Button, ButtonStyle};
use twilight_model::channel::message::embed::{Embed, EmbedField};
use twilight_model::channel::message::{Component, EmojiReactionType, Message};
use twilight_model::channel::permission_overwrite::{PermissionOverwrite, PermissionOverwriteType};
use twilight_model::gateway::payload::incoming::GuildCreate;
use twilight_model::gateway::payload::outgoing::{RequestGuildMembers, UpdatePresence};
use twilight_model::gateway::presence::{ActivityType, MinimalActivity, Status};
use twilight_model::guild::Permissions;
use twilight_model::http::attachment::Attachment;
use twilight_model::id::Id;
use twilight_model::id::marker::{ChannelMarker, GuildMarker, MessageMarker, UserMarker};

use crate::support::{DEADLINE, TestNode};

/// One bot: its shard and its HTTP client.
struct Bot {
    shard: Shard,
    http: Client,
    user: Id<UserMarker>,
    guild: Id<GuildMarker>,
    channel: Id<ChannelMarker>,
}

impl Bot {
    async fn login(node: &TestNode, token: &str) -> Self {
        let config = config(node, token).build();
        let mut bot = Self::with_shard(node, token, Shard::with_config(ShardId::ONE, config));
        let ready = bot.wait("READY", |event| match event {
            Event::Ready(ready) => Some(ready),
            _ => None,
        });
        let ready = ready.await;
        bot.user = ready.user.id;
        assert_eq!(ready.application.id.get(), ready.user.id.get());
        assert_eq!(ready.guilds.len(), 1);
        let guild = bot.wait("GUILD_CREATE", |event| match event {
            Event::GuildCreate(created) => Some(created),
            _ => None,
        });
        match *guild.await {
            GuildCreate::Available(guild) => {
                assert_eq!(guild.id, bot.guild);
                assert_eq!(guild.unavailable, Some(false));
                assert!(
                    guild
                        .channels
                        .iter()
                        .any(|channel| channel.id == bot.channel)
                );
                assert!(
                    guild
                        .members
                        .iter()
                        .any(|member| member.user.id == bot.user)
                );
            }
            GuildCreate::Unavailable(guild) => panic!("{guild:?}"),
        }
        bot
    }

    fn with_shard(node: &TestNode, token: &str, shard: Shard) -> Self {
        let http = Client::builder()
            .token(token.to_owned())
            .proxy(node.addr().to_string(), true)
            .ratelimiter(None)
            .build();
        let (guild, channel) = (node.env().guild_id.get(), node.env().channel_id.get());
        Self {
            shard,
            http,
            user: Id::new(1),
            guild: Id::new(guild),
            channel: Id::new(channel),
        }
    }

    /// The next event `pick` picks; others are passed over, an unparsable one fails the test.
    async fn wait<T>(&mut self, what: &str, pick: impl Fn(Event) -> Option<T>) -> T {
        let looking = async {
            loop {
                let event = self.shard.next_event(EventTypeFlags::all()).await;
                let event = event
                    .expect("the shard goes on")
                    .expect("twilight parses the event");
                if let Some(picked) = pick(event) {
                    return picked;
                }
            }
        };
        tokio::time::timeout(DEADLINE, looking)
            .await
            .unwrap_or_else(|_| panic!("{what} arrives in time"))
    }

    async fn message(&mut self, id: Id<MessageMarker>) -> Message {
        self.wait("MESSAGE_CREATE", |event| match event {
            Event::MessageCreate(created) if created.id == id => Some(created.message),
            _ => None,
        })
        .await
    }

    async fn send(&self, content: &str) -> Message {
        self.http
            .create_message(self.channel)
            .content(content)
            .await
            .unwrap()
            .model()
            .await
            .unwrap()
    }
}

fn config(node: &TestNode, token: &str) -> ConfigBuilder {
    ConfigBuilder::new(token.to_owned(), Intents::all()).proxy_url(format!("ws://{}", node.addr()))
}

async fn two_bots(node: &TestNode) -> (Bot, Bot) {
    let a = Bot::login(node, &node.env().token_a).await;
    (a, Bot::login(node, &node.env().token_b).await)
}

/// The JSON code twilight found in a refusal.
fn code(error: &twilight_http::Error) -> u64 {
    match error.kind() {
        ErrorType::Response {
            error: ApiError::General(error),
            ..
        } => error.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn send_edit_delete_typing_reply_and_reactions() {
    let node = TestNode::start().await;
    let (mut a, mut b) = two_bots(&node).await;
    let sent = a.send("hello 🦀").await;
    let got = b.message(sent.id).await;
    assert_eq!(
        (got.content.as_str(), got.author.id, got.guild_id),
        ("hello 🦀", a.user, Some(a.guild))
    );
    assert!(got.member.is_some());

    a.http
        .update_message(a.channel, sent.id)
        .content(Some("edited"))
        .await
        .unwrap();
    let edited = b.wait("MESSAGE_UPDATE", |event| match event {
        Event::MessageUpdate(updated) => Some(updated),
        _ => None,
    });
    let edited = edited.await;
    assert_eq!((edited.id, edited.content.as_str()), (sent.id, "edited"));
    assert!(edited.edited_timestamp.is_some());

    a.http.create_typing_trigger(a.channel).await.unwrap();
    let typing = b.wait("TYPING_START", |event| match event {
        Event::TypingStart(typing) => Some(typing),
        _ => None,
    });
    let typing = typing.await;
    assert_eq!((typing.user_id, typing.channel_id), (a.user, a.channel));

    let reply = b
        .http
        .create_message(b.channel)
        .content("yes?")
        .reply(sent.id)
        .await
        .unwrap();
    let reply = reply.model().await.unwrap();
    let seen = a.message(reply.id).await;
    assert_eq!(seen.referenced_message.unwrap().id, sent.id);
    assert_eq!(seen.reference.unwrap().message_id, Some(sent.id));

    let crab = RequestReactionType::Unicode { name: "🦀" };
    b.http
        .create_reaction(b.channel, sent.id, &crab)
        .await
        .unwrap();
    let reacted = a.wait("MESSAGE_REACTION_ADD", |event| match event {
        Event::ReactionAdd(reaction) => Some(reaction),
        _ => None,
    });
    let reacted = reacted.await;
    assert_eq!((reacted.user_id, reacted.message_id), (b.user, sent.id));
    assert_eq!(
        reacted.emoji,
        EmojiReactionType::Unicode {
            name: "🦀".to_owned()
        }
    );
    let stored = a
        .http
        .message(a.channel, sent.id)
        .await
        .unwrap()
        .model()
        .await
        .unwrap();
    assert_eq!(
        (stored.reactions[0].count, stored.reactions[0].me),
        (1, false)
    );
    let users = a
        .http
        .reactions(a.channel, sent.id, &crab)
        .await
        .unwrap()
        .models()
        .await
        .unwrap();
    assert_eq!(users[0].id, b.user);
    b.http
        .delete_current_user_reaction(b.channel, sent.id, &crab)
        .await
        .unwrap();
    a.wait("MESSAGE_REACTION_REMOVE", |event| match event {
        Event::ReactionRemove(_) => Some(()),
        _ => None,
    })
    .await;

    a.http.delete_message(a.channel, sent.id).await.unwrap();
    let deleted = b.wait("MESSAGE_DELETE", |event| match event {
        Event::MessageDelete(deleted) => Some(deleted.id),
        _ => None,
    });
    assert_eq!(deleted.await, sent.id);
    assert_eq!(
        code(&a.http.message(a.channel, sent.id).await.unwrap_err()),
        10_008
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn embeds_buttons_and_attachments() {
    let node = TestNode::start().await;
    let (a, mut b) = two_bots(&node).await;
    let embed = Embed {
        author: None,
        color: Some(0x33_66_99),
        description: Some("text".to_owned()),
        fields: vec![EmbedField {
            inline: true,
            name: "one".to_owned(),
            value: "1".to_owned(),
        }],
        flags: None,
        footer: None,
        image: None,
        kind: "rich".to_owned(),
        provider: None,
        thumbnail: None,
        timestamp: None,
        title: Some("title".to_owned()),
        url: None,
        video: None,
    };
    let button = Button {
        custom_id: Some("press".to_owned()),
        disabled: false,
        emoji: None,
        id: None,
        label: Some("Press".to_owned()),
        sku_id: None,
        style: ButtonStyle::Primary,
        url: None,
    };
    let row = Component::ActionRow(ActionRow {
        components: vec![Component::Button(button)],
        id: None,
    });
    let sent = a
        .http
        .create_message(a.channel)
        .embeds(std::slice::from_ref(&embed));
    let sent = sent
        .components(&[row])
        .await
        .unwrap()
        .model()
        .await
        .unwrap();
    let got = b.message(sent.id).await;
    assert_eq!(
        (&got.embeds[0].title, &got.embeds[0].fields),
        (&embed.title, &embed.fields)
    );
    let Component::ActionRow(row) = &got.components[0] else {
        panic!("{got:?}")
    };
    let Component::Button(button) = &row.components[0] else {
        panic!("{got:?}")
    };
    assert_eq!(button.custom_id.as_deref(), Some("press"));

    let bytes: Vec<u8> = (0..200_000_u32)
        .map(|number| (number * 31 % 251) as u8)
        .collect();
    let file = Attachment::from_bytes("blob.bin".to_owned(), bytes.clone(), 0);
    let sent = a
        .http
        .create_message(a.channel)
        .attachments(std::slice::from_ref(&file));
    let sent = sent.await.unwrap().model().await.unwrap();
    let got = b.message(sent.id).await;
    assert_eq!(
        (
            got.attachments[0].filename.as_str(),
            got.attachments[0].size
        ),
        ("blob.bin", 200_000)
    );
    let read = reqwest::get(&got.attachments[0].url).await.unwrap();
    assert_eq!(read.bytes().await.unwrap(), bytes);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_of_250_paged_three_ways() {
    let node = TestNode::start().await;
    let (a, _) = two_bots(&node).await;
    let mut ids = Vec::new();
    for number in 0..250 {
        ids.push(a.send(&number.to_string()).await.id);
    }
    let page =
        async |messages: twilight_http::request::channel::message::GetChannelMessagesConfigured<
            '_,
        >| {
            let page = messages.limit(100).await.unwrap().models().await.unwrap();
            assert!(
                page.is_sorted_by(|newer, older| newer.id > older.id),
                "newest first"
            );
            page.into_iter()
                .map(|message| message.id)
                .rev()
                .collect::<Vec<_>>()
        };
    let mut back = Vec::new();
    let mut edge = Id::new(u64::MAX >> 1);
    loop {
        let got = page(a.http.channel_messages(a.channel).before(edge)).await;
        let Some(first) = got.first() else { break };
        edge = *first;
        back.splice(0..0, got);
    }
    assert_eq!(back, ids);
    let mut forth = Vec::new();
    let mut edge = Id::new(1);
    loop {
        let got = page(a.http.channel_messages(a.channel).after(edge)).await;
        let Some(last) = got.last() else { break };
        edge = *last;
        forth.extend(got);
    }
    assert_eq!(forth, ids);
    let around = page(a.http.channel_messages(a.channel).around(ids[125])).await;
    assert!(
        around.contains(&ids[125]) && (99..=101).contains(&around.len()),
        "{}",
        around.len()
    );
    let first = ids.iter().position(|id| *id == around[0]).unwrap();
    assert_eq!(around, ids[first..first + around.len()], "without a hole");
    assert!(
        (74..=77).contains(&first),
        "the middle is in the middle: {first}"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_members_and_channels() {
    let node = TestNode::start().await;
    let (mut a, mut b) = two_bots(&node).await;
    let role = a
        .http
        .create_role(a.guild)
        .name("crew")
        .color(0x12_34_56)
        .await
        .unwrap();
    let role = role.model().await.unwrap();
    let seen = b.wait("GUILD_ROLE_CREATE", |event| match event {
        Event::RoleCreate(created) => Some(created.role),
        _ => None,
    });
    assert_eq!(seen.await.name, "crew");
    a.http
        .update_role(a.guild, role.id)
        .name(Some("team"))
        .await
        .unwrap();
    let seen = b.wait("GUILD_ROLE_UPDATE", |event| match event {
        Event::RoleUpdate(updated) => Some(updated.role),
        _ => None,
    });
    assert_eq!(seen.await.name, "team");
    a.http
        .add_guild_member_role(a.guild, b.user, role.id)
        .await
        .unwrap();
    let user = b.user;
    let member = b.wait("GUILD_MEMBER_UPDATE", |event| match event {
        Event::MemberUpdate(updated) if updated.user.id == user => Some(updated.roles),
        _ => None,
    });
    assert_eq!(member.await, [role.id]);
    a.http
        .remove_guild_member_role(a.guild, b.user, role.id)
        .await
        .unwrap();
    let member = a
        .http
        .guild_member(a.guild, b.user)
        .await
        .unwrap()
        .model()
        .await
        .unwrap();
    assert!(member.roles.is_empty());
    a.http.delete_role(a.guild, role.id).await.unwrap();
    let gone = b.wait("GUILD_ROLE_DELETE", |event| match event {
        Event::RoleDelete(deleted) => Some(deleted.role_id),
        _ => None,
    });
    assert_eq!(gone.await, role.id);

    let made = a
        .http
        .create_guild_channel(a.guild, "room")
        .topic("about")
        .await
        .unwrap();
    let made = made.model().await.unwrap();
    let seen = b.wait("CHANNEL_CREATE", |event| match event {
        Event::ChannelCreate(created) => Some((*created).0),
        _ => None,
    });
    assert_eq!(seen.await.topic.as_deref(), Some("about"));
    a.http.update_channel(made.id).name("hall").await.unwrap();
    let seen = a.wait("CHANNEL_UPDATE", |event| match event {
        Event::ChannelUpdate(updated) => Some((*updated).0),
        _ => None,
    });
    assert_eq!(seen.await.name.as_deref(), Some("hall"));
    a.http.delete_channel(made.id).await.unwrap();
    let gone = b.wait("CHANNEL_DELETE", |event| match event {
        Event::ChannelDelete(deleted) => Some((*deleted).0.id),
        _ => None,
    });
    assert_eq!(gone.await, made.id);
    let roles = a.http.roles(a.guild).await.unwrap().models().await.unwrap();
    assert_eq!(roles.len(), 1);
    let channels = a
        .http
        .guild_channels(a.guild)
        .await
        .unwrap()
        .models()
        .await
        .unwrap();
    assert!(channels.iter().any(|channel| channel.id == a.channel));
    let members = a
        .http
        .guild_members(a.guild)
        .limit(100)
        .await
        .unwrap()
        .models()
        .await
        .unwrap();
    assert_eq!(members.len(), 3);
    a.http.guild(a.guild).await.unwrap().model().await.unwrap();
    a.http.current_user().await.unwrap().model().await.unwrap();
    a.http
        .current_user_application()
        .await
        .unwrap()
        .model()
        .await
        .unwrap();
    a.http
        .current_user_guilds()
        .await
        .unwrap()
        .models()
        .await
        .unwrap();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_b_may_not_and_must_not_see() {
    let node = TestNode::start().await;
    let (a, mut b) = two_bots(&node).await;
    let sent = a.send("A's").await;
    assert_eq!(
        code(&b.http.delete_message(b.channel, sent.id).await.unwrap_err()),
        50_013
    );
    let nobody = [PermissionOverwrite {
        allow: Permissions::empty(),
        deny: Permissions::VIEW_CHANNEL,
        id: a.guild.cast(),
        kind: PermissionOverwriteType::Role,
    }];
    let hidden = a
        .http
        .create_guild_channel(a.guild, "hidden")
        .permission_overwrites(&nobody);
    let hidden = hidden.await.unwrap().model().await.unwrap().id;
    assert_eq!(code(&b.http.channel(hidden).await.unwrap_err()), 50_001);
    a.http
        .create_message(hidden)
        .content("secret")
        .await
        .unwrap();
    a.http.create_typing_trigger(hidden).await.unwrap();
    let fence = a.send("fence").await;
    b.wait(
        "the fence, and nothing of the hidden channel before it",
        |event| match event {
            Event::MessageCreate(created) => {
                assert_ne!(created.channel_id, hidden, "leaked");
                (created.id == fence.id).then_some(())
            }
            Event::ChannelCreate(created) => panic!("leaked: {created:?}"),
            Event::TypingStart(typing) => panic!("leaked: {typing:?}"),
            _ => None,
        },
    )
    .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_bulk_delete_bans_and_kicks() {
    let node = TestNode::start().await;
    let (a, mut b) = two_bots(&node).await;
    let first = a.send("first").await.id;
    let more = [a.send("second").await.id, a.send("third").await.id];
    a.http.create_pin(a.channel, first).await.unwrap();
    b.wait("CHANNEL_PINS_UPDATE", |event| match event {
        Event::ChannelPinsUpdate(_) => Some(()),
        _ => None,
    })
    .await;
    let pins = a.http.pins(a.channel).await.unwrap().model().await.unwrap();
    assert_eq!((pins.items[0].message.id, pins.has_more), (first, false));
    a.http.delete_pin(a.channel, first).await.unwrap();
    a.http.delete_messages(a.channel, &more).await.unwrap();
    let bulk = b.wait("MESSAGE_DELETE_BULK", |event| match event {
        Event::MessageDeleteBulk(deleted) => Some(deleted.ids),
        _ => None,
    });
    let mut bulk = bulk.await;
    bulk.sort();
    assert_eq!(bulk, more);
    a.http.create_ban(a.guild, b.user).await.unwrap();
    let guild = b.guild;
    b.wait("GUILD_DELETE", |event| match event {
        Event::GuildDelete(deleted) if deleted.id == guild => Some(()),
        _ => None,
    })
    .await;
    let ban = a
        .http
        .ban(a.guild, b.user)
        .await
        .unwrap()
        .model()
        .await
        .unwrap();
    assert_eq!(ban.user.id, b.user);
    a.http.delete_ban(a.guild, b.user).await.unwrap();
    assert_eq!(
        code(&a.http.ban(a.guild, b.user).await.unwrap_err()),
        10_026
    );
    assert_eq!(
        code(&a.http.guild_member(a.guild, b.user).await.unwrap_err()),
        10_007
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_and_member_requests() {
    let node = TestNode::start().await;
    let (mut a, b) = two_bots(&node).await;
    let chess = MinimalActivity {
        kind: ActivityType::Playing,
        name: "chess".to_owned(),
        url: None,
    };
    b.shard
        .command(&UpdatePresence::new([chess.into()], false, None, Status::Idle).unwrap());
    // The shard sends when it is polled.
    let mut b = b;
    let user = b.user;
    let presence = tokio::select! {
        presence = a.wait("PRESENCE_UPDATE", |event| match event {
            Event::PresenceUpdate(update) if update.user.id() == user && update.status == Status::Idle => Some(update),
            _ => None,
        }) => presence,
        () = async { loop { b.wait("never", |_| None::<()>).await; } } => unreachable!("it waits for ever"),
    };
    assert_eq!(presence.activities[0].name, "chess");
    assert!(presence.activities[0].created_at.is_some());

    let request = RequestGuildMembers::builder(a.guild)
        .nonce("n7")
        .presences(true)
        .user_ids(vec![b.user, Id::new(1)]);
    a.shard.command(&request.unwrap());
    let chunk = a.wait("GUILD_MEMBERS_CHUNK", |event| match event {
        Event::MemberChunk(chunk) => Some(chunk),
        _ => None,
    });
    let chunk = chunk.await;
    assert_eq!(
        (chunk.nonce.as_deref(), chunk.chunk_index, chunk.chunk_count),
        (Some("n7"), 0, 1)
    );
    assert_eq!(chunk.members[0].user.id, b.user);
    assert_eq!(chunk.not_found.len(), 1);
    assert_eq!(chunk.presences[0].status, Status::Idle);
    a.shard
        .command(&RequestGuildMembers::builder(a.guild).query("", None));
    let chunk = a.wait("GUILD_MEMBERS_CHUNK", |event| match event {
        Event::MemberChunk(chunk) => Some(chunk),
        _ => None,
    });
    assert_eq!(chunk.await.members.len(), 3);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_shards_and_the_guild_is_on_one() {
    let node = TestNode::start().await;
    let token = &node.env().token_a;
    let home = (node.env().guild_id.get() >> 22) % 2;
    for number in 0..2 {
        let shard = Shard::with_config(ShardId::new(number, 2), config(&node, token).build());
        let mut bot = Bot::with_shard(&node, token, shard);
        let ready = bot.wait("READY", |event| match event {
            Event::Ready(ready) => Some(ready),
            _ => None,
        });
        let ready = ready.await;
        assert_eq!(ready.shard, Some(ShardId::new(number, 2)));
        assert_eq!(ready.guilds.len(), usize::from(u64::from(number) == home));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resume_after_a_close_and_after_a_lost_process() {
    let node = TestNode::start().await;
    let (a, mut b) = two_bots(&node).await;
    let session = b.shard.session().unwrap().id().to_owned();
    b.shard.close(CloseFrame::RESUME);
    let sent = a.send("while it reconnects").await;
    let mut order = Vec::new();
    while order.len() < 2 {
        let seen = b.wait("the message and RESUMED", |event| match event {
            Event::MessageCreate(created) => Some(Some(created.id)),
            Event::Resumed => Some(None),
            Event::Ready(_) => panic!("the same session goes on"),
            _ => None,
        });
        order.push(seen.await);
    }
    assert!(
        order.contains(&Some(sent.id)) && order.contains(&None),
        "{order:?}"
    );
    assert_eq!(b.shard.session().unwrap().id(), session);

    // A process that kept its session across a restart: the socket is just gone.
    let kept: Session = b.shard.session().unwrap().clone();
    let missed = [a.send("one").await.id, a.send("two").await.id];
    let token = &node.env().token_b;
    drop(b);
    let config = config(&node, token).session(kept).build();
    let mut again = Bot::with_shard(&node, token, Shard::with_config(ShardId::ONE, config));
    for id in missed {
        again.message(id).await;
    }
    again
        .wait("RESUMED", |event| {
            matches!(event, Event::Resumed).then_some(())
        })
        .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stock_rate_limiter_keeps_to_the_limits() {
    let node = TestNode::start_with(|config| config.rate_limits = true).await;
    let token = node.env().token_a.clone();
    let http = Client::builder()
        .token(token)
        .proxy(node.addr().to_string(), true)
        .build();
    let channel = Id::new(node.env().channel_id.get());
    for number in 0..12 {
        let sending = http
            .create_message(channel)
            .content("within the limit")
            .into_future();
        let sent = tokio::time::timeout(DEADLINE, sending)
            .await
            .expect("in time");
        assert!(sent.is_ok(), "message {number}: {sent:?}");
    }
    node.stop().await;
}
