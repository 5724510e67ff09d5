//! The reads that are joined, as values: what is asked, whose it is, and how the store is asked.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use model::emoji::ReactionEmoji;
use model::message::MessageRecord;
use model::user::Account;
use model::{ChannelId, GuildId, MessageId, UserId};

use super::flights::Flight;
use crate::store::{EmojiCount, Page, Result, Store, Write};

/// Users of a page's reactions that are read with it, so that who reads it is looked for among them
/// and not in the store: those of the rarest reactions, together at most this many.
pub(super) const REACTORS_JOINED_MAX: u64 = 1_000;

/// What is read together, limited together and written together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Partition {
    /// A channel: its messages, pins and reactions, and which guild it is of.
    Channel(ChannelId),
    /// All accounts.
    Accounts,
}

/// A read; equal ones are joined.
pub(super) trait Query: Clone + Eq + Hash + Send + Sync + 'static {
    /// What the store answers.
    type Answer: Send + Sync + 'static;
    /// Its name in the metrics.
    const NAME: &'static str;
    /// What it is a part of.
    fn partition(&self) -> Partition;
    /// The flights of its kind.
    fn flights(open: &mut Open) -> &mut HashMap<Self, Flight<Self::Answer>>;
    /// Asks the store.
    fn ask(self, store: Arc<dyn Store>) -> impl Future<Output = Result<Self::Answer>> + Send;
}

/// The flights of a partition that can be joined, by kind.
#[derive(Debug, Default)]
pub(super) struct Open {
    messages: HashMap<Messages, Flight<Vec<MessageRecord>>>,
    histories: HashMap<Histories, Flight<History>>,
    message: HashMap<Message, Flight<Option<MessageRecord>>>,
    pins: HashMap<Pins, Flight<Vec<(MessageRecord, u64)>>>,
    pin_count: HashMap<PinCount, Flight<usize>>,
    reactions: HashMap<Reactions, Flight<Vec<Vec<Reacted>>>>,
    reactors: HashMap<Reactors, Flight<Vec<UserId>>>,
    accounts: HashMap<Accounts, Flight<Vec<Option<Account>>>>,
    guild_of_channel: HashMap<GuildOfChannel, Flight<Option<GuildId>>>,
}

/// See [`Store::messages`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Messages {
    pub(super) channel: ChannelId,
    pub(super) page: Page,
    pub(super) limit: usize,
}

impl Query for Messages {
    type Answer = Vec<MessageRecord>;
    const NAME: &'static str = "messages";

    fn partition(&self) -> Partition {
        Partition::Channel(self.channel)
    }

    fn flights(open: &mut Open) -> &mut HashMap<Self, Flight<Self::Answer>> {
        &mut open.messages
    }

    async fn ask(self, store: Arc<dyn Store>) -> Result<Self::Answer> {
        store.messages(self.channel, self.page, self.limit).await
    }
}

/// A page of a channel's history with what belongs to it, for many who read the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Histories {
    pub(super) channel: ChannelId,
    pub(super) page: Page,
    pub(super) limit: usize,
}

/// A page of a channel's history, newest first, with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The messages.
    pub messages: Vec<MessageRecord>,
    /// The messages these answer, as far as they are there.
    pub answered: HashMap<MessageId, MessageRecord>,
    /// Their reactions.
    pub(super) reactions: Vec<Vec<Reacted>>,
}

impl Query for Histories {
    type Answer = History;
    const NAME: &'static str = "history";

    fn partition(&self) -> Partition {
        Partition::Channel(self.channel)
    }

    fn flights(open: &mut Open) -> &mut HashMap<Self, Flight<Self::Answer>> {
        &mut open.histories
    }

    async fn ask(self, store: Arc<dyn Store>) -> Result<Self::Answer> {
        let channel = self.channel;
        let messages = store.messages(channel, self.page, self.limit).await?;
        let ids: Vec<MessageId> = messages.iter().map(|message| message.id).collect();
        let (reactions, answered) = if ids.is_empty() {
            (Vec::new(), HashMap::new())
        } else {
            futures_util::future::try_join(
                reactions_of(&*store, channel, &ids),
                answered_by(&*store, channel, &messages),
            )
            .await?
        };
        Ok(History {
            messages,
            answered,
            reactions,
        })
    }
}

/// The messages that these answer, as far as they are there: from the page itself, and the others by
/// one read.
async fn answered_by(
    store: &dyn Store,
    channel: ChannelId,
    messages: &[MessageRecord],
) -> Result<HashMap<MessageId, MessageRecord>> {
    let mut ids: Vec<MessageId> = messages.iter().filter_map(MessageRecord::answers).collect();
    ids.sort_unstable();
    ids.dedup();
    let on_page = messages
        .iter()
        .filter(|message| ids.binary_search(&message.id).is_ok());
    let mut answered: HashMap<_, _> = on_page
        .map(|message| (message.id, message.clone()))
        .collect();
    ids.retain(|id| !answered.contains_key(id));
    if !ids.is_empty() {
        let others = store.messages_by_id(channel, &ids).await?;
        answered.extend(
            others
                .into_iter()
                .flatten()
                .map(|message| (message.id, message)),
        );
    }
    Ok(answered)
}

/// See [`Store::message`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Message {
    pub(super) channel: ChannelId,
    pub(super) message: MessageId,
}

impl Query for Message {
    type Answer = Option<MessageRecord>;
    const NAME: &'static str = "message";

    fn partition(&self) -> Partition {
        Partition::Channel(self.channel)
    }

    fn flights(open: &mut Open) -> &mut HashMap<Self, Flight<Self::Answer>> {
        &mut open.message
    }

    async fn ask(self, store: Arc<dyn Store>) -> Result<Self::Answer> {
        store.message(self.channel, self.message).await
    }
}

/// See [`Store::pins`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Pins {
    pub(super) channel: ChannelId,
    pub(super) before: Option<u64>,
    pub(super) limit: usize,
}

impl Query for Pins {
    type Answer = Vec<(MessageRecord, u64)>;
    const NAME: &'static str = "pins";

    fn partition(&self) -> Partition {
        Partition::Channel(self.channel)
    }

    fn flights(open: &mut Open) -> &mut HashMap<Self, Flight<Self::Answer>> {
        &mut open.pins
    }

    async fn ask(self, store: Arc<dyn Store>) -> Result<Self::Answer> {
        store.pins(self.channel, self.before, self.limit).await
    }
}

/// See [`Store::pin_count`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PinCount(pub(super) ChannelId);

impl Query for PinCount {
    type Answer = usize;
    const NAME: &'static str = "pin_count";

    fn partition(&self) -> Partition {
        Partition::Channel(self.0)
    }

    fn flights(open: &mut Open) -> &mut HashMap<Self, Flight<Self::Answer>> {
        &mut open.pin_count
    }

    async fn ask(self, store: Arc<dyn Store>) -> Result<Self::Answer> {
        store.pin_count(self.0).await
    }
}

/// Reactions of messages of a channel, as everybody sees them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Reactions {
    pub(super) channel: ChannelId,
    pub(super) messages: Vec<MessageId>,
}

/// A reaction as everybody sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reacted {
    pub(super) emoji: ReactionEmoji,
    pub(super) count: u64,
    /// Who reacted, in order; `None` where they are too many ([`REACTORS_JOINED_MAX`]).
    pub(super) users: Option<Vec<UserId>>,
}

impl Query for Reactions {
    type Answer = Vec<Vec<Reacted>>;
    const NAME: &'static str = "reactions";

    fn partition(&self) -> Partition {
        Partition::Channel(self.channel)
    }

    fn flights(open: &mut Open) -> &mut HashMap<Self, Flight<Self::Answer>> {
        &mut open.reactions
    }

    async fn ask(self, store: Arc<dyn Store>) -> Result<Self::Answer> {
        reactions_of(&*store, self.channel, &self.messages).await
    }
}

/// Reactions of messages with those who reacted, where they are few.
async fn reactions_of(
    store: &dyn Store,
    channel: ChannelId,
    messages: &[MessageId],
) -> Result<Vec<Vec<Reacted>>> {
    let counts = store.reaction_counts(channel, messages).await?;
    let few = few_enough(&counts);
    let of: Vec<_> = few
        .iter()
        .map(|(message, which)| (messages[*message], counts[*message][*which].emoji.clone()))
        .collect();
    let users = if of.is_empty() {
        Vec::new()
    } else {
        store.reactors_of(channel, &of).await?
    };
    let everybodys = |count: EmojiCount| Reacted {
        emoji: count.emoji,
        count: count.count,
        users: None,
    };
    let mut reactions: Vec<Vec<_>> = counts
        .into_iter()
        .map(|of_message| of_message.into_iter().map(everybodys).collect())
        .collect();
    for ((message, which), users) in few.into_iter().zip(users) {
        reactions[message][which].users = Some(users);
    }
    Ok(reactions)
}

/// Which reactions (of which message, which one) have few enough users to be read along: the rarest.
fn few_enough(counts: &[Vec<EmojiCount>]) -> Vec<(usize, usize)> {
    let mut all: Vec<(u64, usize, usize)> = Vec::new();
    for (message, of_message) in counts.iter().enumerate() {
        all.extend(
            of_message
                .iter()
                .enumerate()
                .map(|(which, count)| (count.count, message, which)),
        );
    }
    all.sort_unstable();
    let mut users = 0_u64;
    all.into_iter()
        .take_while(|(count, ..)| {
            users = users.saturating_add(*count);
            users <= REACTORS_JOINED_MAX
        })
        .map(|(_, message, which)| (message, which))
        .collect()
}

/// See [`Store::reactors`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Reactors {
    pub(super) channel: ChannelId,
    pub(super) message: MessageId,
    pub(super) emoji: ReactionEmoji,
    pub(super) after: Option<UserId>,
    pub(super) limit: usize,
}

impl Query for Reactors {
    type Answer = Vec<UserId>;
    const NAME: &'static str = "reactors";

    fn partition(&self) -> Partition {
        Partition::Channel(self.channel)
    }

    fn flights(open: &mut Open) -> &mut HashMap<Self, Flight<Self::Answer>> {
        &mut open.reactors
    }

    async fn ask(self, store: Arc<dyn Store>) -> Result<Self::Answer> {
        store
            .reactors(
                self.channel,
                self.message,
                &self.emoji,
                self.after,
                self.limit,
            )
            .await
    }
}

/// See [`Store::accounts`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Accounts(pub(super) Vec<UserId>);

impl Query for Accounts {
    type Answer = Vec<Option<Account>>;
    const NAME: &'static str = "accounts";

    fn partition(&self) -> Partition {
        Partition::Accounts
    }

    fn flights(open: &mut Open) -> &mut HashMap<Self, Flight<Self::Answer>> {
        &mut open.accounts
    }

    async fn ask(self, store: Arc<dyn Store>) -> Result<Self::Answer> {
        store.accounts(&self.0).await
    }
}

/// See [`Store::guild_of_channel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct GuildOfChannel(pub(super) ChannelId);

impl Query for GuildOfChannel {
    type Answer = Option<GuildId>;
    const NAME: &'static str = "guild_of_channel";

    fn partition(&self) -> Partition {
        Partition::Channel(self.0)
    }

    fn flights(open: &mut Open) -> &mut HashMap<Self, Flight<Self::Answer>> {
        &mut open.guild_of_channel
    }

    async fn ask(self, store: Arc<dyn Store>) -> Result<Self::Answer> {
        store.guild_of_channel(self.0).await
    }
}

/// What a write changes of what is joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Changes {
    /// Nothing.
    Nothing,
    /// One partition.
    Of(Partition),
    /// Who knows: a guild with all its channels.
    Everything,
}

/// What `write` changes.
pub(super) fn changes(write: &Write) -> Changes {
    match write {
        Write::PutMessage(record) => Changes::Of(Partition::Channel(record.channel_id)),
        Write::PutReaction(reaction) => Changes::Of(Partition::Channel(reaction.channel_id)),
        Write::PutChannel(channel) => Changes::Of(Partition::Channel(channel.id)),
        Write::PatchMessage(channel, ..)
        | Write::DeleteMessage(channel, ..)
        | Write::DeleteReaction(channel, ..)
        | Write::ClearReactions(channel, ..)
        | Write::PutPin(channel, ..)
        | Write::DeletePin(channel, ..)
        | Write::DeleteChannel(_, channel) => Changes::Of(Partition::Channel(*channel)),
        Write::PutAccount(_) => Changes::Of(Partition::Accounts),
        Write::DeleteGuild(_) => Changes::Everything,
        // Whoever adds a write says here what of the joined reads it changes.
        Write::Fence(..)
        | Write::ForgetFiles(..)
        | Write::PutGuild(_)
        | Write::PutRole(..)
        | Write::DeleteRole(..)
        | Write::PutMember(_)
        | Write::DeleteMember(..)
        | Write::PutBan(_)
        | Write::DeleteBan(..)
        | Write::PutReadState(_)
        | Write::LoseFiles(..)
        | Write::RaiseLastMessage(..)
        | Write::DeleteReadState(..)
        | Write::PutSetting(..) => Changes::Nothing,
    }
}
