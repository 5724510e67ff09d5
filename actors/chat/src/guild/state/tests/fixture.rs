//! A small guild to try rules on, and listeners that see what a relay would show them.
//!
//! ```text
//! roles: @everyone 0 · low 1 · moderator 2 (nearly everything) · administrator 3
//! members: OWNER · ADMIN (administrator) · MOD (moderator) · LOW (low) · BOB (none)
//! channels: GENERAL · SECRET (moderators only) · CATEGORY · VOICE
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::channel::{Channel, Overwrite, kind};
use model::event::{Audience, Encoded};
use model::guild::Guild;
use model::member::{Member, MemberRecord};
use model::message::{Draft, Message, MessageRecord};
use model::permissions::{Permissions, everyone_default};
use model::role::Role;
use model::user::User;
use model::{ChannelId, GuildId, Id, RoleId, UserId, time};
use serde_json::Value;
use storage::store::{GuildSnapshot, Write};

use super::super::{Effect, GuildState, Turn};
use crate::error::{ChatError, Result};
use crate::guild::command::{Actor, Answer, Command};
use crate::guild::members::Row;
use crate::ids::Ids;
use crate::relay::View;

pub(super) const GUILD: GuildId = Id::new(1);
pub(super) const EVERYONE: RoleId = Id::new(1);
pub(super) const OWNER: UserId = Id::new(10);
pub(super) const ADMIN: UserId = Id::new(11);
pub(super) const MOD: UserId = Id::new(12);
pub(super) const LOW: UserId = Id::new(13);
pub(super) const BOB: UserId = Id::new(14);
pub(super) const STRANGER: UserId = Id::new(99);
pub(super) const LOW_ROLE: RoleId = Id::new(21);
pub(super) const MOD_ROLE: RoleId = Id::new(22);
pub(super) const ADMIN_ROLE: RoleId = Id::new(23);
pub(super) const GENERAL: ChannelId = Id::new(31);
pub(super) const SECRET: ChannelId = Id::new(32);
pub(super) const CATEGORY: ChannelId = Id::new(33);
pub(super) const VOICE: ChannelId = Id::new(34);
pub(super) const NOW: u64 = 1_800_000_000_000;

pub(super) fn moderator() -> Permissions {
    everyone_default()
        | Permissions::MANAGE_ROLES
        | Permissions::MANAGE_CHANNELS
        | Permissions::MANAGE_GUILD
        | Permissions::MANAGE_MESSAGES
        | Permissions::MANAGE_NICKNAMES
        | Permissions::MODERATE_MEMBERS
        | Permissions::KICK_MEMBERS
        | Permissions::BAN_MEMBERS
        | Permissions::PIN_MESSAGES
}

/// A guild's state, the ids it makes, and the time.
pub(super) struct World {
    pub(super) state: GuildState,
    pub(super) ids: Ids,
    pub(super) now: u64,
}

pub(super) fn snapshot() -> GuildSnapshot {
    let role = |id, name: &str, permissions, position| Role::new(id, name, permissions, position);
    let mut secret = Channel::new(SECRET, GUILD, kind::GUILD_TEXT, "secret");
    let view = Permissions::VIEW_CHANNEL;
    secret.permission_overwrites = vec![
        Overwrite::role(EVERYONE, Permissions::empty(), view),
        Overwrite::role(MOD_ROLE, view, Permissions::empty()),
    ];
    let member = |id: UserId, roles: &[RoleId]| {
        let mut record = MemberRecord::new(GUILD, id, time::from_unix_ms(NOW));
        record.roles = roles.to_vec();
        (record, User::new(id, format!("user{id}"), false))
    };
    GuildSnapshot {
        guild: Guild::new(GUILD, "Guild", OWNER),
        roles: vec![
            Role::everyone(GUILD, everyone_default()),
            role(LOW_ROLE, "low", Permissions::empty(), 1),
            role(MOD_ROLE, "moderator", moderator(), 2),
            role(ADMIN_ROLE, "administrator", Permissions::ADMINISTRATOR, 3),
        ],
        channels: vec![
            Channel::new(GENERAL, GUILD, kind::GUILD_TEXT, "general"),
            secret,
            Channel::new(CATEGORY, GUILD, kind::GUILD_CATEGORY, "Category"),
            Channel::new(VOICE, GUILD, kind::GUILD_VOICE, "Voice"),
        ],
        members: vec![
            member(OWNER, &[]),
            member(ADMIN, &[ADMIN_ROLE]),
            member(MOD, &[MOD_ROLE]),
            member(LOW, &[LOW_ROLE]),
            member(BOB, &[]),
        ],
        last_message_id: None,
    }
}

/// More members, without roles.
pub(super) fn add_members(snapshot: &mut GuildSnapshot, ids: std::ops::Range<u64>) {
    snapshot.members.extend(ids.map(|id| {
        let user = User::new(Id::new(id), format!("user{id}"), false);
        let record = MemberRecord::new(GUILD, user.id, time::from_unix_ms(NOW));
        (record, user)
    }));
}

/// What one command came to.
pub(super) struct Outcome {
    pub(super) answer: Result<Answer>,
    pub(super) effects: Vec<Effect>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::of(snapshot())
    }

    /// A guild of which everyone listens, also those who are yet to come.
    pub(super) fn of(snapshot: GuildSnapshot) -> Self {
        let mut all: Vec<UserId> = snapshot
            .members
            .iter()
            .map(|(row, _)| row.user_id)
            .collect();
        all.push(STRANGER);
        let world = Self::unheard(snapshot);
        for user in all {
            // For as long as the world is there.
            std::mem::forget(world.state.listeners.expect(user));
        }
        world
    }

    /// A guild that nobody listens to.
    pub(super) fn unheard(snapshot: GuildSnapshot) -> Self {
        Self {
            state: GuildState::new(snapshot, "http://test".into()),
            ids: Ids::new(0),
            now: NOW,
        }
    }

    pub(super) fn row(&self, user: UserId) -> Arc<Row> {
        self.state.members.get(&user).unwrap()
    }

    /// A member as others are shown it.
    pub(super) fn shown(&self, user: UserId) -> Member {
        self.state.member(&self.row(user))
    }

    /// The data of a GUILD_MEMBER_UPDATE of a member as it is.
    pub(super) fn data_of_update(&self, user: UserId) -> Value {
        body(&self.state.member_update(&self.row(user)).body)
    }

    pub(super) fn try_as(&mut self, actor: Actor, command: Command) -> Outcome {
        let before = self.state.clone();
        let mut turn = Turn::new(self.now, &self.ids);
        let answer = self.state.apply(&mut turn, actor, command);
        let effects = turn.effects;
        if answer.is_err() {
            assert!(before == self.state, "a refused command changed the state");
            assert!(
                effects.is_empty(),
                "a refused command has effects: {effects:?}"
            );
        }
        Outcome { answer, effects }
    }

    pub(super) fn run(&mut self, user: UserId, command: Command) -> Outcome {
        self.try_as(Actor::User(user), command)
    }

    /// Runs a command that must succeed; answers its effects.
    pub(super) fn ok(&mut self, user: UserId, command: Command) -> Outcome {
        let outcome = self.run(user, command);
        assert!(outcome.answer.is_ok(), "{:?}", outcome.answer);
        outcome
    }

    /// Runs a command that must be refused; answers why.
    pub(super) fn refused(&mut self, user: UserId, command: Command) -> ChatError {
        match self.run(user, command).answer {
            Err(error) => error,
            Ok(answer) => panic!("not refused: {answer:?}"),
        }
    }

    pub(super) fn post(&mut self, user: UserId, channel: ChannelId, content: &str) -> Outcome {
        self.run(user, post(channel, draft(content)))
    }

    /// Posts and answers the stored record.
    pub(super) fn posted(
        &mut self,
        user: UserId,
        channel: ChannelId,
        content: &str,
    ) -> MessageRecord {
        self.post(user, channel, content).record()
    }

    /// Gives `@everyone` other permissions, as the owner.
    pub(super) fn everyone_may(&mut self, permissions: Permissions) {
        let patch = crate::guild::command::RolePatch {
            permissions: Some(permissions),
            ..Default::default()
        };
        self.ok(OWNER, Command::ModifyRole(EVERYONE, Box::new(patch)));
    }
}

pub(super) fn draft(content: &str) -> Draft {
    Draft {
        content: content.to_owned(),
        fail_if_not_exists: true,
        ..Draft::default()
    }
}

pub(super) fn post(channel: ChannelId, draft: Draft) -> Command {
    Command::PostMessage {
        channel,
        draft: Box::new(draft),
        reply_to: None,
    }
}

impl Outcome {
    /// Names of the published events, in order.
    pub(super) fn events(&self) -> Vec<&'static str> {
        self.published().map(|event| event.name).collect()
    }

    pub(super) fn published(&self) -> impl Iterator<Item = &Encoded> {
        self.effects.iter().filter_map(|effect| match effect {
            Effect::Publish(event) => Some(event),
            _ => None,
        })
    }

    /// The data of the first event with this name.
    pub(super) fn data(&self, name: &str) -> Value {
        let event = self.published().find(|event| event.name == name);
        body(
            &event
                .unwrap_or_else(|| panic!("no {name} in {:?}", self.events()))
                .body,
        )
    }

    /// Whose views changed, in order.
    pub(super) fn viewers(&self) -> Vec<UserId> {
        let views = self.effects.iter().filter_map(|effect| match effect {
            Effect::Views(views) => Some(views),
            _ => None,
        });
        let mut users: Vec<UserId> = views.flatten().map(|(user, _)| *user).collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    pub(super) fn message(&self) -> Message {
        match &self.answer {
            Ok(Answer::Message(message)) => Message::clone(message),
            other => panic!("no message: {other:?}"),
        }
    }

    pub(super) fn record(&self) -> MessageRecord {
        let record = self.writes().find_map(|write| match write {
            Write::PutMessage(record) => Some(MessageRecord::clone(record)),
            _ => None,
        });
        record.unwrap_or_else(|| panic!("no message written: {:?}", self.answer))
    }

    pub(super) fn writes(&self) -> impl Iterator<Item = &Write> {
        self.effects.iter().filter_map(|effect| match effect {
            Effect::Write(write) => Some(write),
            _ => None,
        })
    }
}

/// The data of an event.
pub(super) fn body(bytes: &[u8]) -> Value {
    let (last, data) = bytes.split_last().unwrap();
    assert_eq!(*last, b'}', "the body closes the envelope");
    serde_json::from_slice(data).unwrap()
}

/// One session per member, as a relay would serve them.
pub(super) struct Listeners {
    views: BTreeMap<UserId, Arc<View>>,
    /// What each got: event and channel it is of.
    pub(super) got: Vec<(UserId, &'static str, Option<ChannelId>)>,
}

impl Listeners {
    pub(super) fn new(state: &GuildState) -> Self {
        let views = state
            .member_ids()
            .into_iter()
            .map(|user| (user, state.view_of(user).unwrap()))
            .collect();
        Self {
            views,
            got: Vec::new(),
        }
    }

    /// Takes the effects of one command; what was got before is forgotten.
    pub(super) fn take(&mut self, effects: &[Effect]) {
        self.got.clear();
        for effect in effects {
            match effect {
                Effect::Publish(event) => self.publish(event),
                Effect::PublishUpdate { channel, .. } => {
                    for user in self.who(&Audience::Channel(*channel)) {
                        self.got.push((user, "MESSAGE_UPDATE", Some(*channel)));
                    }
                }
                Effect::Views(views) => {
                    for (user, view) in views {
                        if let Some(held) = self.views.get_mut(user) {
                            *held = Arc::clone(view);
                        }
                    }
                }
                Effect::Remove(user) => drop(self.views.remove(user)),
                Effect::Clear(_) => self.views.clear(),
                Effect::Write(_) | Effect::Member(_) | Effect::Seen(_) | Effect::Show(..) => {}
            }
        }
    }

    fn publish(&mut self, event: &Encoded) {
        let data = body(&event.body);
        let key = if event.name.starts_with("CHANNEL_") && event.name != "CHANNEL_PINS_UPDATE" {
            "id"
        } else {
            "channel_id"
        };
        let channel = data[key].as_str().map(|id| id.parse().unwrap());
        for user in self.who(&event.audience) {
            self.got.push((user, event.name, channel));
        }
    }

    fn who(&self, audience: &Audience) -> Vec<UserId> {
        self.views
            .iter()
            .filter(|(user, view)| match audience {
                Audience::Guild => true,
                Audience::Channel(channel) => view.may_see(*channel),
                Audience::Users(users) => users.contains(user),
            })
            .map(|(user, _)| *user)
            .collect()
    }

    /// Users who got this event.
    pub(super) fn who_got(&self, name: &str) -> Vec<UserId> {
        let mut users: Vec<UserId> = self
            .got
            .iter()
            .filter(|(_, got, _)| *got == name)
            .map(|(user, ..)| *user)
            .collect();
        users.sort_unstable();
        users
    }

    pub(super) fn joined(&mut self, state: &GuildState, user: UserId) {
        if let Some(view) = state.view_of(user) {
            self.views.insert(user, view);
        }
    }

    /// Panics unless everyone's view is what the rules say now. Channels that are gone do not
    /// matter: nothing is published in them.
    pub(super) fn check(&self, state: &GuildState) {
        let seen: BTreeSet<UserId> = self.views.keys().copied().collect();
        for user in state.member_ids() {
            let Some(view) = self.views.get(&user) else {
                assert!(!seen.contains(&user));
                continue;
            };
            let now = state.view_of(user).unwrap();
            let held: Vec<ChannelId> = view
                .channels()
                .iter()
                .copied()
                .filter(|id| state.channels.contains_key(id))
                .collect();
            assert_eq!(held, now.channels(), "view of {user}");
        }
    }
}
