//! Whatever is asked, by whomever: refusals change nothing, ids rise, roles are dense, nobody is
//! shown what they may not see, the store holds what memory holds, and the same commands have the
//! same effects.

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use model::channel::{Overwrite, kind};
use model::event::Encoded;
use model::member::Member;
use model::message::{MessagePatch, MessageRecord, Nonce};
use model::permissions::Permissions;
use model::presence::{ClientStatus, Presence, Status};
use model::user::{Account, User};
use model::{ChannelId, MessageId, RoleId, UserId, time};
use proptest::collection::vec;
use proptest::prelude::*;
use storage::Store as _;
use storage::engine::memory::MemoryStore;
use storage::store::{GuildSnapshot, Write};

use super::fixture::*;
use crate::guild::command::{
    Actor, Answer, ChannelMove, ChannelPatch, Command, Found, GuildPatch, Look, MemberPatch,
    RolePatch,
};
use crate::guild::state::{GuildState, SharedCreates, SnapshotWants};

/// Small numbers that become a command when it is known what there is.
type Step = (u8, u8, u8, u8, u64);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec(
        (0..27_u8, 0..8_u8, any::<u8>(), any::<u8>(), 0..20_000_u64),
        1..60,
    )
}

/// A world, what was said in it, and a store that gets all writes.
struct Run {
    world: World,
    store: MemoryStore,
    said: Vec<MessageRecord>,
    last: BTreeMap<ChannelId, MessageId>,
    creates: SharedCreates,
}

impl Run {
    fn new() -> Self {
        let store = MemoryStore::new();
        let GuildSnapshot {
            guild,
            roles,
            channels,
            members,
            ..
        } = snapshot();
        let people = members
            .iter()
            .map(|(_, user)| user.clone())
            .chain([User::new(STRANGER, "user99", false)]);
        for user in people {
            let account = Account {
                user,
                email: None,
                application: None,
                token_generation: 0,
            };
            store
                .create_account(account)
                .now_or_never()
                .unwrap()
                .unwrap();
        }
        let mut writes = vec![Write::PutGuild(Box::new(guild))];
        writes.extend(
            roles
                .into_iter()
                .map(|role| Write::PutRole(GUILD, Box::new(role))),
        );
        writes.extend(
            channels
                .into_iter()
                .map(|channel| Write::PutChannel(Box::new(channel))),
        );
        writes.extend(
            members
                .into_iter()
                .map(|(record, _)| Write::PutMember(Box::new(record))),
        );
        store.commit(writes).now_or_never().unwrap().unwrap();
        Self {
            world: World::new(),
            store,
            said: Vec::new(),
            last: BTreeMap::new(),
            creates: SharedCreates::default(),
        }
    }

    fn command(&self, (op, _, a, b, _): Step) -> Command {
        let state = &self.world.state;
        let pick = |list: &[u64], at: u8| list[usize::from(at) % list.len()];
        let channels: Vec<u64> = state
            .channels
            .keys()
            .map(|id| id.get())
            .chain([404])
            .collect();
        let roles: Vec<u64> = state.roles.keys().map(|id| id.get()).collect();
        let everybody: Vec<u64> = (10..15).chain([99]).collect();
        let channel: ChannelId = model::Id::new(pick(&channels, a));
        let role: RoleId = model::Id::new(pick(&roles, b));
        let user: UserId = model::Id::new(pick(&everybody, a));
        let bits = match b % 5 {
            0 => Permissions::empty(),
            1 => Permissions::VIEW_CHANNEL,
            2 => Permissions::ADMINISTRATOR,
            3 => moderator(),
            _ => Permissions::VIEW_CHANNEL | Permissions::SEND_MESSAGES,
        };
        let message = self.said.get(usize::from(b) % self.said.len().max(1));
        // Everything is committed at once: what is read is what was decided.
        let message = message.and_then(|said| {
            let read = self.store.message(said.channel_id, said.id);
            read.now_or_never().unwrap().unwrap()
        });
        match (op, message) {
            (0 | 1, _) => {
                let mut draft = draft(&format!("text <@{user}> @everyone"));
                draft.nonce = Some(Nonce::Integer(i64::from(b % 4)));
                draft.enforce_nonce = b.is_multiple_of(2);
                post(channel, draft)
            }
            (2, Some(record)) => {
                let patch = MessagePatch {
                    content: Some("edited".to_owned()),
                    ..MessagePatch::default()
                };
                Command::EditMessage {
                    look: Look::default(),
                    record: Box::new(record),
                    patch: Box::new(patch),
                }
            }
            (3, Some(record)) => Command::DeleteMessage {
                found: Found {
                    look: Look::default(),
                    channel: record.channel_id,
                    message: record.id,
                    author: record.author_id,
                },
                pinned: record.pinned,
            },
            (4, Some(record)) => Command::SetPinned {
                look: Look::default(),
                record: Box::new(record),
                pinned: a.is_multiple_of(2),
                pins: usize::from(a),
            },
            (5, _) => Command::Typing { channel },
            (6 | 7, _) => {
                let parent = state
                    .channels
                    .values()
                    .find(|channel| channel.kind == kind::GUILD_CATEGORY);
                let overwrites = vec![Overwrite::role(role, Permissions::empty(), bits)];
                Command::CreateChannel(Box::new(ChannelPatch {
                    name: Some("made".to_owned()),
                    kind: Some([0, 2, 4][usize::from(a) % 3]),
                    parent_id: (b.is_multiple_of(2)).then(|| parent.map(|parent| parent.id)),
                    permission_overwrites: (a.is_multiple_of(2)).then_some(overwrites),
                    ..ChannelPatch::default()
                }))
            }
            (8, _) => {
                let overwrites = vec![Overwrite::member(user, bits, Permissions::empty())];
                let patch = ChannelPatch {
                    permission_overwrites: Some(overwrites),
                    topic: Some(Some(format!("topic {b}"))),
                    ..ChannelPatch::default()
                };
                Command::ModifyChannel(channel, Box::new(patch))
            }
            (9, _) => Command::DeleteChannel(channel),
            (10, _) => Command::MoveChannels(vec![ChannelMove {
                id: channel,
                position: Some(u32::from(b)),
                parent_id: Some((a.is_multiple_of(2)).then_some(CATEGORY)),
                lock_permissions: b.is_multiple_of(2),
            }]),
            (11 | 12, _) => {
                Command::PutOverwrite(channel, Overwrite::role(role, Permissions::empty(), bits))
            }
            (13, _) => {
                Command::PutOverwrite(channel, Overwrite::member(user, bits, Permissions::empty()))
            }
            (14, _) => Command::DeleteOverwrite(channel, role.cast()),
            (15, _) => Command::CreateRole(Box::new(RolePatch {
                permissions: Some(bits),
                ..RolePatch::default()
            })),
            (16, _) => Command::ModifyRole(
                role,
                Box::new(RolePatch {
                    permissions: Some(bits),
                    ..RolePatch::default()
                }),
            ),
            (17, _) => Command::DeleteRole(role),
            (18, _) => {
                Command::MoveRoles(vec![(role, u32::from(a % 6)), (MOD_ROLE, u32::from(b % 6))])
            }
            (19, _) => Command::AddMember(Box::new(User::new(user, format!("user{user}"), false))),
            (20, _) => Command::ModifyMember(
                user,
                Box::new(MemberPatch {
                    nick: Some((b.is_multiple_of(2)).then(|| "nick".to_owned())),
                    communication_disabled_until: (b.is_multiple_of(3))
                        .then(|| Some(time::from_unix_ms(self.world.now + 5_000))),
                    ..MemberPatch::default()
                }),
            ),
            (21, _) => Command::AddMemberRole(user, role),
            (22, _) => Command::RemoveMemberRole(user, role),
            (23, _) => Command::Kick(user),
            (24, _) => Command::ModifyGuild(Box::new(GuildPatch {
                owner_id: Some(user),
                ..GuildPatch::default()
            })),
            (25, _) => Command::Leave,
            _ => Command::SetPresence {
                user,
                presence: Some(Presence {
                    status: if b.is_multiple_of(2) {
                        Status::Online
                    } else {
                        Status::Offline
                    },
                    ..Presence::default()
                }),
                client_status: ClientStatus::default(),
            },
        }
    }

    /// What is shared of GUILD_CREATE is what would be made now, for one who asks. Over many steps
    /// everyone does, and finds what others left.
    fn check_creates(&mut self, name: &str, pick: u8) {
        let state = &self.world.state;
        let user: UserId = model::Id::new(10 + u64::from(pick % 5));
        let (large_threshold, members_and_presences, newly_joined) =
            [(50, true, false), (2, true, true), (2, false, false)][usize::from(pick / 5) % 3];
        let wants = SnapshotWants {
            large_threshold,
            members_and_presences,
            newly_joined,
        };
        let view = state.view_of(user).unwrap_or_default();
        let now = self.world.now;
        let scratch = state.guild_create(user, wants, now);
        let shared = self.creates.guild_create(state, user, &view, wants, now);
        let data = |event: &Encoded| body(&[&event.lead[..], &event.body].concat());
        assert_eq!(
            shared.as_ref().map(data),
            scratch.as_ref().map(data),
            "{name}: GUILD_CREATE of {user} with {wants:?}"
        );
        if let (Some(shared), Some(scratch)) = (shared, scratch) {
            assert_eq!(shared.audience, scratch.audience);
            assert_eq!(shared.intents, scratch.intents);
        }
    }

    /// Runs one step and answers its effects as text.
    fn step(&mut self, step: Step, listeners: &mut Listeners) -> String {
        // The clock mostly goes on, and sometimes steps back.
        self.world.now = if step.4.is_multiple_of(7) {
            self.world.now.saturating_sub(step.4)
        } else {
            self.world.now + step.4
        };
        let actor = match step.1 {
            0 => Actor::System,
            1..=5 => Actor::User(model::Id::new(9 + u64::from(step.1))),
            6 => Actor::User(STRANGER),
            _ => Actor::User(OWNER),
        };
        let command = self.command(step);
        let before = self.world.state.clone();
        let name = command.name();
        let outcome = self.world.try_as(actor, command);
        self.creates.changed(&outcome.effects);
        self.check_creates(name, step.2);
        listeners.take(&outcome.effects);
        for user in self
            .world
            .state
            .member_ids()
            .into_iter()
            .filter(|user| !before.members.contains_key(user))
        {
            listeners.joined(&self.world.state, user);
        }
        let after = &self.world.state;
        for (user, event, channel) in &listeners.got {
            let Some(channel) = channel else { continue };
            let sees = after.may_view(*user, *channel);
            let saw = before.may_view(*user, *channel);
            // CHANNEL_DELETE is for those who saw it; everything else for those who see it now.
            let allowed = if *event == "CHANNEL_DELETE" {
                saw && !sees
            } else {
                sees
            };
            assert!(allowed, "{name}: {event} of {channel} reached {user}");
            if *event == "CHANNEL_CREATE" {
                assert!(!saw, "{name}: {user} was told twice of {channel}");
            }
        }
        for user in after
            .member_ids()
            .into_iter()
            .filter(|user| before.members.contains_key(user))
        {
            for channel in after.channels.keys() {
                let told = |event: &str| {
                    listeners.got.contains(&(
                        user,
                        if event == "C" {
                            "CHANNEL_CREATE"
                        } else {
                            "CHANNEL_DELETE"
                        },
                        Some(*channel),
                    ))
                };
                let (saw, sees) = (
                    before.may_view(user, *channel),
                    after.may_view(user, *channel),
                );
                assert_eq!(
                    told("C"),
                    !saw && sees,
                    "{name}: CHANNEL_CREATE of {channel} for {user}"
                );
                assert_eq!(
                    told("D"),
                    saw && !sees,
                    "{name}: CHANNEL_DELETE of {channel} for {user}"
                );
            }
        }
        listeners.check(after);
        let mut positions: Vec<u32> = after.roles.values().map(|role| role.position).collect();
        positions.sort_unstable();
        assert!(
            positions.iter().copied().eq(0..after.roles.len() as u32),
            "{name}: {positions:?}"
        );
        assert_eq!(after.roles[&EVERYONE].position, 0);
        let writes: Vec<Write> = outcome.writes().cloned().collect();
        for write in &writes {
            if let Write::PutMessage(record) = write {
                let last = self.last.insert(record.channel_id, record.id);
                assert!(last.is_none_or(|last| last < record.id), "ids rise");
                self.said.push(MessageRecord::clone(record));
            }
        }
        if let Ok(Answer::Message(message)) = &outcome.answer {
            assert!(
                self.said.iter().any(|record| record.id == message.id),
                "an answered message was written"
            );
        }
        let committed = self.store.commit(writes).now_or_never().unwrap();
        assert_eq!(committed, Ok(()), "{name}");
        format!("{:?} {:?}", outcome.answer, outcome.effects)
    }

    /// What the store holds is what memory holds.
    fn compare(&self) {
        let stored = self
            .store
            .guild(GUILD)
            .now_or_never()
            .unwrap()
            .unwrap()
            .unwrap();
        let stored = GuildState::new(stored, "http://test".into());
        let state = &self.world.state;
        assert_eq!(stored.guild, state.guild);
        assert_eq!(stored.roles, state.roles);
        assert_eq!(shown(&stored), shown(state));
        let plain = |state: &GuildState| {
            let mut channels = state.channels.clone();
            // Derived by the store from messages and pins.
            channels.values_mut().for_each(|channel| {
                channel.last_pin_timestamp = None;
                channel.last_message_id = None;
            });
            channels
        };
        assert_eq!(plain(&stored), plain(state));
    }
}

/// All members, with the roles that there are: a role that is gone may be in rows still.
fn shown(state: &GuildState) -> Vec<Member> {
    let members = state.members.all();
    members.iter().map(|row| state.member(row)).collect()
}

fn run(steps: &[Step]) -> Vec<String> {
    let mut run = Run::new();
    let mut listeners = Listeners::new(&run.world.state);
    let log = steps
        .iter()
        .map(|step| run.step(*step, &mut listeners))
        .collect();
    run.compare();
    log
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_is_asked(steps in steps()) {
        let first = run(&steps);
        let second = run(&steps);
        prop_assert_eq!(first, second, "the same commands have the same effects");
    }
}
