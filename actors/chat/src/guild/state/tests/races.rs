//! Readings that are late, commits that are slow, a table that forgets: what is decided is what
//! would have been decided with the truth at hand, or nothing and "look again".

use std::collections::{BTreeMap, BTreeSet};

use model::emoji::ReactionEmoji;
use model::message::{MessagePatch, MessageRecord};
use model::{ChannelId, MessageId, UserId, limits};
use proptest::collection::vec;
use proptest::prelude::*;
use storage::store::Write;

use super::fixture::*;
use crate::error::{ChatError, Refusal};
use crate::guild::command::{Actor, Answer, Command, Found, Look, Reacted};
use crate::guild::state::recent::Recent;
use crate::guild::state::{GuildState, Turn};
use crate::ids::Ids;

const USERS: [UserId; 3] = [OWNER, ADMIN, MOD];
const MESSAGES: usize = 3;
/// A little more than a message may have.
const EMOJI: usize = limits::REACTIONS_MAX + 3;

/// What a store says of the messages of one channel.
#[derive(Debug, Clone, Default)]
struct Rows {
    messages: BTreeMap<MessageId, MessageRecord>,
    reactions: BTreeSet<(MessageId, String, UserId)>,
}

impl Rows {
    fn apply(&mut self, write: &Write) {
        match write {
            Write::PutMessage(record) => {
                self.messages
                    .insert(record.id, MessageRecord::clone(record));
            }
            Write::PatchMessage(_, id, patch) => {
                patch.apply(self.messages.get_mut(id).expect("a row to patch"));
            }
            Write::DeleteMessage(_, id) => {
                assert!(self.messages.remove(id).is_some(), "deleted twice");
                self.reactions.retain(|(of, ..)| of != id);
            }
            Write::PutReaction(reaction) => {
                let (message, user) = (reaction.message_id, reaction.user_id);
                assert!(self.messages.contains_key(&message), "a row to react to");
                let new = self.reactions.insert((message, reaction.emoji.key(), user));
                assert!(new, "reacted twice");
            }
            Write::DeleteReaction(_, message, emoji, user) => {
                let gone = self.reactions.remove(&(*message, emoji.key(), *user));
                assert!(gone, "taken back twice");
            }
            Write::ClearReactions(_, message, emoji) => {
                let before = self.reactions.len();
                let key = emoji.as_ref().map(ReactionEmoji::key);
                self.reactions.retain(|(of, emoji, _)| {
                    of != message || key.as_ref().is_some_and(|key| key != emoji)
                });
                assert!(self.reactions.len() < before, "cleared twice");
            }
            Write::PutPin(_, id, _) => assert!(!self.messages[id].pinned, "pinned twice"),
            Write::DeletePin(_, id) => assert!(self.messages[id].pinned, "unpinned twice"),
            other => panic!("unexpected {other:?}"),
        }
        let mut kinds = BTreeMap::<MessageId, BTreeSet<&str>>::new();
        for (message, emoji, _) in &self.reactions {
            kinds.entry(*message).or_default().insert(emoji);
        }
        let most = kinds.values().map(BTreeSet::len).max();
        assert!(most.unwrap_or_default() <= limits::REACTIONS_MAX);
    }

    fn reacted(&self, message: MessageId, user: UserId, emoji: &ReactionEmoji) -> Reacted {
        let mut counts = BTreeMap::<&str, u64>::new();
        for (_, emoji, _) in self.reactions.iter().filter(|(of, ..)| *of == message) {
            *counts.entry(emoji).or_default() += 1;
        }
        Reacted {
            counts: counts
                .into_iter()
                .map(|(name, count)| (named(name), count))
                .collect(),
            already: self.reactions.contains(&(message, emoji.key(), user)),
        }
    }

    fn pins(&self) -> usize {
        let pinned = |record: &&MessageRecord| record.pinned;
        self.messages.values().filter(pinned).count()
    }
}

fn named(name: &str) -> ReactionEmoji {
    ReactionEmoji {
        id: None,
        name: Some(name.to_owned()),
        animated: false,
    }
}

/// What somebody wants to do: kind, message, user, emoji.
type Wish = (u8, usize, usize, usize);

#[derive(Debug, Clone)]
enum Step {
    /// Somebody looks.
    Look(Wish),
    /// The one who looked longest ago, of those who have not, reads the store.
    Read,
    /// Somebody who has read asks.
    Ask(usize),
    /// Commits become visible; the guild learns of it a little later.
    Commit(usize),
    Settle,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wish = (0..8_u8, 0..MESSAGES, 0..USERS.len(), 0..EMOJI);
    let step = prop_oneof![
        4 => wish.prop_map(Step::Look),
        4 => Just(Step::Read),
        4 => (0..4_usize).prop_map(Step::Ask),
        1 => (1..4_usize).prop_map(Step::Commit),
        1 => Just(Step::Settle),
    ];
    vec(step, 1..300)
}

struct Run {
    state: GuildState,
    ids: Ids,
    said: Vec<MessageId>,
    /// What the store shows.
    stored: Rows,
    /// What was decided.
    decided: Rows,
    /// Batches that the store does not show yet, with their numbers.
    under_way: Vec<(u64, Vec<Write>)>,
    number: u64,
    visible: u64,
    settled: u64,
}

impl Run {
    fn new(limit: usize) -> Self {
        let mut run = Self {
            state: GuildState::new(snapshot(), "http://test".into()),
            ids: Ids::new(0),
            said: Vec::new(),
            stored: Rows::default(),
            decided: Rows::default(),
            under_way: Vec::new(),
            number: 0,
            visible: 0,
            settled: 0,
        };
        run.state.recent = Recent::of_load(1).limited(limit);
        for _ in 0..MESSAGES {
            run.apply(OWNER, post(GENERAL, draft("hello"))).unwrap();
        }
        run.said = run.decided.messages.keys().copied().collect();
        run.commit(MESSAGES);
        run.settled = run.visible;
        run
    }

    fn apply(&mut self, user: UserId, command: Command) -> Result<Answer, ChatError> {
        let mut turn = Turn::new(NOW, &self.ids).numbered(self.number + 1, self.settled);
        let answer = self.state.apply(&mut turn, Actor::User(user), command);
        let writes: Vec<Write> = turn
            .effects
            .into_iter()
            .filter_map(|effect| match effect {
                super::super::Effect::Write(write) => Some(write),
                _ => None,
            })
            .collect();
        if !writes.is_empty() {
            self.number += 1;
            for write in &writes {
                self.decided.apply(write);
            }
            self.under_way.push((self.number, writes));
        }
        answer
    }

    fn commit(&mut self, batches: usize) {
        let batches = batches.min(self.under_way.len());
        for (number, writes) in self.under_way.drain(..batches) {
            writes.iter().for_each(|write| self.stored.apply(write));
            self.visible = number;
        }
    }

    fn look(&mut self, user: UserId) -> Look {
        match self.apply(user, Command::Look { channel: GENERAL }) {
            Ok(Answer::Look(look)) => look,
            other => panic!("{other:?}"),
        }
    }

    /// The command as the store says now; `None` when the message is not there.
    fn read(&self, look: Look, (kind, message, user, emoji): Wish) -> Option<Command> {
        let (channel, message): (ChannelId, _) = (GENERAL, self.said[message]);
        let emoji = named(&format!("e{emoji:02}"));
        let record = self.stored.messages.get(&message)?;
        let found = Found {
            look,
            channel,
            message,
            author: record.author_id,
        };
        let read = self.stored.reacted(message, USERS[user], &emoji);
        Some(match kind {
            0..=2 => Command::AddReaction { found, emoji, read },
            3 => Command::RemoveReaction {
                found,
                user: USERS[user],
                emoji,
                read,
            },
            4 => Command::ClearReactions {
                found,
                emoji: (user > 0).then_some(emoji),
                read,
            },
            5 => Command::EditMessage {
                look,
                record: Box::new(record.clone()),
                patch: Box::new(MessagePatch {
                    flags: Some(4),
                    ..MessagePatch::default()
                }),
            },
            6 => Command::SetPinned {
                look,
                record: Box::new(record.clone()),
                pinned: !user.is_multiple_of(2),
                pins: self.stored.pins(),
            },
            // The last of the messages is kept: deleted, it would tell nothing more.
            _ if message == self.said[0] => Command::DeleteMessage {
                found,
                pinned: record.pinned,
            },
            _ => Command::BulkDelete {
                look,
                channel,
                messages: vec![message, self.said[0]],
                found: vec![(message, record.pinned)],
            },
        })
    }

    /// Asks, and judges the answer by what was decided so far.
    fn ask(&mut self, look: Look, wish: Wish, command: Command) {
        let (_, message, user, emoji) = wish;
        let before = self.decided.clone();
        let (user, message) = (USERS[user], self.said[message]);
        let emoji = named(&format!("e{emoji:02}"));
        let truth = before.reacted(message, user, &emoji);
        let full = truth.counts.len() >= limits::REACTIONS_MAX
            && truth.counts.iter().all(|(known, _)| *known != emoji);
        let adds = matches!(command, Command::AddReaction { .. });
        let (name, number) = (command.name(), self.number);
        match self.apply(user, command) {
            Ok(Answer::LookAgain) => {
                assert!(look.settled < number, "{name}: nothing was missed");
                assert_eq!(self.number, number, "nothing is done");
            }
            Err(error) => {
                assert_eq!(error, ChatError::Refused(Refusal::ReactionsMax));
                assert!(adds && full);
            }
            Ok(_) => {
                // What must not happen twice is judged by `Rows`.
                assert!(before.messages.contains_key(&message), "{name}: it is gone");
                if adds {
                    assert!(!full);
                    let after = self.decided.reacted(message, user, &emoji);
                    assert!(after.already, "{name}");
                }
            }
        }
    }
}

fn run(steps: Vec<Step>, limit: usize) {
    let mut run = Run::new(limit);
    let mut looked: Vec<(Look, Wish)> = Vec::new();
    let mut read: Vec<(Look, Wish, Command)> = Vec::new();
    for step in steps {
        match step {
            Step::Look(wish) => looked.push((run.look(USERS[wish.2]), wish)),
            Step::Read if !looked.is_empty() => {
                let (look, wish) = looked.remove(0);
                let command = run.read(look, wish);
                read.extend(command.map(|command| (look, wish, command)));
            }
            Step::Ask(who) if !read.is_empty() => {
                let (look, wish, command) = read.remove(who % read.len());
                run.ask(look, wish, command);
            }
            Step::Commit(batches) => run.commit(batches),
            Step::Settle => run.settled = run.visible,
            Step::Read | Step::Ask(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn decisions_are_made_on_what_was_decided(steps in steps()) {
        run(steps, 1_000);
    }

    #[test]
    fn forgetting_makes_no_wrong_decisions(steps in steps()) {
        run(steps, 4);
    }
}
