//! The port: everything the actors ask of a store, as domain operations.
//!
//! Kept coarse on purpose: a new feature should change a record, not every engine. All writes go
//! through [`Store::commit`]: an ordered batch that becomes durable as a whole or not at all.

use async_trait::async_trait;

use model::attachment::Attachment;
use model::ban::BanRecord;
use model::channel::Channel;
use model::emoji::ReactionEmoji;
use model::guild::Guild;
use model::member::MemberRecord;
use model::message::MessageRecord;
use model::reaction::ReactionRecord;
use model::read_state::ReadState;
use model::role::Role;
use model::user::Account;
use model::{AttachmentId, ChannelId, GuildId, MessageId, RoleId, UserId};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::fence::Epoch;
use crate::upkeep::Upkeep;

/// Result of an operation on the store.
pub type Result<T> = std::result::Result<T, StoreError>;

/// One change. A batch of them is atomic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// The batch is made by the owner of a guild under this epoch: when the guild was claimed under a
    /// higher one, the whole batch fails with [`StoreError::Fenced`] and nothing of it is applied. A
    /// higher epoch than was claimed is claimed with it: a store that was filled from another one
    /// knows of no claims. Stands first in its batch. Batches without one are not fenced.
    Fence(GuildId, Epoch),
    /// A new message, or the whole new state of one. Also marks its bucket as used and raises the
    /// channel's `last_message_id` (what [`GuildSnapshot::channels`] answers) to its id. Files that an
    /// old state had and the new one has not are not looked for: drop files with a patch.
    PutMessage(Box<MessageRecord>),
    /// Changes some fields of a message, merged into the row at the moment of the commit. When the
    /// message is not there, the whole batch fails with [`StoreError::NotFound`] and nothing of it
    /// is applied (so an edit can never bring a deleted message back).
    PatchMessage(ChannelId, MessageId, Box<RecordPatch>),
    /// A message and its reactions and pin are gone. A missing message is no error. Its files are
    /// then to be deleted, see [`Store::files_to_delete`]; so are those that a patch drops and those
    /// of messages that are purged.
    DeleteMessage(ChannelId, MessageId),
    /// A user's reaction; a second one with the same emoji changes nothing. When the message is not
    /// there, the whole batch fails with [`StoreError::NotFound`], as with
    /// [`Write::PatchMessage`].
    PutReaction(ReactionRecord),
    /// A user's reaction is gone.
    DeleteReaction(ChannelId, MessageId, ReactionEmoji, UserId),
    /// All reactions of a message are gone, or those with one emoji.
    ClearReactions(ChannelId, MessageId, Option<ReactionEmoji>),
    /// A message is pinned at this time (Unix milliseconds); pinning it again moves the time. The
    /// record's own `pinned` is a field like any other: change it with a patch in the same batch.
    /// When the message is not there, the whole batch fails with [`StoreError::NotFound`].
    PutPin(ChannelId, MessageId, u64),
    /// A message is no longer pinned.
    DeletePin(ChannelId, MessageId),
    /// These files are deleted: they leave the list of [`Store::files_to_delete`]. Ones that are not
    /// on it are no error.
    ForgetFiles(ChannelId, Vec<AttachmentId>),
    /// These files are to be deleted: they come onto the list of [`Store::files_to_delete`], as those
    /// do that a message lost. For whoever copies that list; all are of one channel.
    LoseFiles(ChannelId, Vec<LostFile>),
    /// A message with this id was there: raises the `last_message_id` of a guild or a channel to it,
    /// as a [`Write::PutMessage`] does. For whoever copies a channel whose last message was deleted.
    RaiseLastMessage(LastOf, MessageId),
    /// Settings of a guild.
    PutGuild(Box<Guild>),
    /// A guild and everything in it but its messages is gone; those are removed by a job (see
    /// [`Store::channels_to_purge`]). The epoch it was claimed under stays, so that a late write of an
    /// earlier owner brings nothing of it back.
    DeleteGuild(GuildId),
    /// A channel of a guild.
    PutChannel(Box<Channel>),
    /// A channel is gone; its messages are removed by a job (see [`Store::channels_to_purge`]).
    DeleteChannel(GuildId, ChannelId),
    /// A role of a guild.
    PutRole(GuildId, Box<Role>),
    /// A role is gone.
    DeleteRole(GuildId, RoleId),
    /// A member of a guild; also found by user.
    PutMember(Box<MemberRecord>),
    /// A member left.
    DeleteMember(GuildId, UserId),
    /// A ban.
    PutBan(BanRecord),
    /// A ban is lifted.
    DeleteBan(GuildId, UserId),
    /// A changed account; its name must not change here ([`StoreError::Conflict`]), and it must be
    /// there ([`StoreError::NotFound`]); either fails the whole batch.
    PutAccount(Box<Account>),
    /// How far a user has read a channel, merged with what is there ([`ReadState::merge`]): of several
    /// such writes the order does not matter, and one that is repeated changes nothing.
    PutReadState(Box<ReadState>),
    /// A user's read state of a channel is gone; one that is not there is no error.
    DeleteReadState(UserId, ChannelId),
    /// A small named value (secrets of the installation, the demo's ids).
    PutSetting(String, Vec<u8>),
}

/// Whose last message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastOf {
    /// A guild's, see [`GuildSnapshot::last_message_id`].
    Guild(GuildId),
    /// A channel's, see [`GuildSnapshot::channels`].
    Channel(ChannelId),
}

/// Fields of a stored message to replace; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordPatch {
    /// New text.
    pub content: Option<String>,
    /// When it was edited.
    pub edited_timestamp: Option<model::Timestamp>,
    /// New embeds.
    pub embeds: Option<Vec<model::embed::Embed>>,
    /// New components.
    pub components: Option<Vec<model::component::Component>>,
    /// New attachments.
    pub attachments: Option<Vec<model::attachment::Attachment>>,
    /// New flags.
    pub flags: Option<u64>,
    /// Users it names now.
    pub mentions: Option<Vec<UserId>>,
    /// Roles it names now.
    pub mention_roles: Option<Vec<RoleId>>,
    /// Whether it names everyone now.
    pub mention_everyone: Option<bool>,
    /// Whether it is pinned now.
    pub pinned: Option<bool>,
}

/// A file that no message refers to any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostFile {
    /// The channel of the message it was attached to.
    pub channel_id: ChannelId,
    /// Its attachment.
    pub attachment_id: AttachmentId,
    /// Its name there.
    pub filename: String,
}

impl LostFile {
    /// The files among `before` that are not among `after`.
    pub(crate) fn of(
        channel: ChannelId,
        before: Vec<Attachment>,
        after: &[Attachment],
    ) -> impl Iterator<Item = Self> {
        let lost = move |file: &Attachment| after.iter().all(|kept| kept.id != file.id);
        before.into_iter().filter(lost).map(move |file| Self {
            channel_id: channel,
            attachment_id: file.id,
            filename: file.filename,
        })
    }
}

impl RecordPatch {
    /// Writes the fields that are set over those of `record`.
    pub fn apply(&self, record: &mut MessageRecord) {
        fn set<T: Clone>(field: &mut T, new: &Option<T>) {
            if let Some(new) = new {
                field.clone_from(new);
            }
        }
        set(&mut record.content, &self.content);
        set(&mut record.embeds, &self.embeds);
        set(&mut record.components, &self.components);
        set(&mut record.attachments, &self.attachments);
        set(&mut record.flags, &self.flags);
        set(&mut record.mentions, &self.mentions);
        set(&mut record.mention_roles, &self.mention_roles);
        set(&mut record.mention_everyone, &self.mention_everyone);
        set(&mut record.pinned, &self.pinned);
        if self.edited_timestamp.is_some() {
            record.edited_timestamp = self.edited_timestamp;
        }
    }
}

/// Which part of a channel's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Page {
    /// The newest messages.
    Latest,
    /// The newest ones below this id.
    Before(MessageId),
    /// The oldest ones above this id.
    After(MessageId),
    /// Half of the page (rounded down) above, the rest the message itself, if it is there, and what
    /// is below it.
    Around(MessageId),
}

/// Everything a guild process needs to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuildSnapshot {
    /// Settings.
    pub guild: Guild,
    /// Roles, any order.
    pub roles: Vec<Role>,
    /// Channels, any order, with `last_message_id` and `last_pin_timestamp` as the messages and
    /// pins of the channel say (not as the last `PutChannel` said).
    pub channels: Vec<Channel>,
    /// Members with their accounts' public part, any order; a member whose account is gone is left out.
    pub members: Vec<(MemberRecord, model::user::User)>,
    /// Highest message id ever committed in any of the guild's channels, so that new ids rise
    /// above it.
    pub last_message_id: Option<MessageId>,
}

/// How many users reacted with an emoji.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmojiCount {
    /// The emoji.
    pub emoji: ReactionEmoji,
    /// How many users.
    pub count: u64,
    /// When it was first used, Unix milliseconds: what it is ordered by. The reaction that did may be
    /// gone.
    pub first_at_ms: u64,
}

/// How many users reacted with an emoji, as one of them sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReactionCount {
    /// The emoji.
    pub emoji: ReactionEmoji,
    /// How many users.
    pub count: u64,
    /// Whether the user asked about is among them.
    pub me: bool,
}

/// A pending commit: resolves when the batch is durable or known to have failed. Dropping it does
/// not undo the batch.
pub struct Commit {
    wait: Option<tokio::sync::oneshot::Receiver<Result<()>>>,
    held: Option<Box<dyn Send + Sync>>,
}

impl Commit {
    /// A commit and the end an engine settles it with.
    pub fn new() -> (tokio::sync::oneshot::Sender<Result<()>>, Self) {
        let (settle, wait) = tokio::sync::oneshot::channel();
        let commit = Self {
            wait: Some(wait),
            held: None,
        };
        (settle, commit)
    }

    /// Keeps something until the batch is settled, also when the commit is dropped before.
    pub(crate) fn holding(mut self, held: impl Send + Sync + 'static) -> Self {
        self.held = Some(Box::new(held));
        self
    }

    /// A commit that is already settled.
    pub fn settled(result: Result<()>) -> Self {
        let (settle, commit) = Self::new();
        let _ = settle.send(result);
        commit
    }
}

impl std::future::Future for Commit {
    type Output = Result<()>;

    fn poll(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        let unknown = || StoreError::Unknown("the store stopped before it answered".to_owned());
        let this = self.get_mut();
        let Some(wait) = &mut this.wait else {
            return std::task::Poll::Ready(Err(unknown()));
        };
        let settled = std::task::ready!(std::pin::Pin::new(wait).poll(cx));
        this.wait = None;
        this.held = None;
        std::task::Poll::Ready(settled.unwrap_or_else(|_| Err(unknown())))
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        if let (Some(wait), Some(held)) = (self.wait.take(), self.held.take())
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                let _ = wait.await;
                drop(held);
            });
        }
    }
}

impl std::fmt::Debug for Commit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commit")
            .field("settled", &self.wait.is_none())
            .finish_non_exhaustive()
    }
}

/// The port. Implemented by each engine; proved by the suite in `conformance.rs`.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Queues a batch, in the order of the calls, and returns at once; the returned future
    /// resolves when the batch is durable. Batches become visible to reads in that same order, and
    /// never before they are durable.
    ///
    /// # Errors
    /// Through the future. [`StoreError::Busy`]: the queue is full, nothing was changed.
    fn commit(&self, batch: Vec<Write>) -> Commit;
    /// Claims a guild, in the order of the calls, as a batch: once the returned future has resolved,
    /// no batch of a lower epoch ([`Write::Fence`]) is acknowledged any more, and a read that begins
    /// then sees every one that was. Whether there is such a guild is not looked at; it is kept for
    /// ever that it was claimed, so claim only guilds that are there.
    ///
    /// # Errors
    /// Through the future. [`StoreError::Fenced`]: it was claimed under this or a higher epoch; two
    /// who claim under the same one cannot both have it, and nothing was changed.
    /// [`StoreError::Busy`], [`StoreError::NotApplied`], [`StoreError::Broken`]: nothing was changed.
    /// [`StoreError::Unknown`]: it may have been claimed; claim again under a higher one.
    fn claim(&self, guild: GuildId, epoch: Epoch) -> Commit;
    /// The epoch a guild was last claimed under; [`Epoch::NONE`] when it never was.
    async fn epoch(&self, guild: GuildId) -> Result<Epoch>;

    /// Creates an account; its name must be free among people (bots may share names).
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name is taken.
    async fn create_account(&self, account: Account) -> Result<()>;
    /// The account of a user.
    async fn account(&self, user: UserId) -> Result<Option<Account>>;
    /// The accounts of several users, in the order asked; `None` where there is none.
    async fn accounts(&self, users: &[UserId]) -> Result<Vec<Option<Account>>>;
    /// All accounts, in id order from above `after`, at most `limit`.
    async fn list_accounts(&self, after: Option<UserId>, limit: usize) -> Result<Vec<Account>>;

    /// Everything of a guild but its messages.
    async fn guild(&self, guild: GuildId) -> Result<Option<GuildSnapshot>>;
    /// The same without its members, of which there may be a million: that list is empty.
    async fn guild_without_members(&self, guild: GuildId) -> Result<Option<GuildSnapshot>>;
    /// Members of a guild with their accounts' public part, in user id order from above `after`, at
    /// most `limit`; fewer only at the end. A member whose account is gone is left out.
    async fn members(
        &self,
        guild: GuildId,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<(MemberRecord, model::user::User)>>;
    /// The ids of all guilds, in order, from above `after`, at most `limit`.
    async fn list_guilds(&self, after: Option<GuildId>, limit: usize) -> Result<Vec<GuildId>>;
    /// The guilds of a user, in id order.
    async fn guilds_of(&self, user: UserId) -> Result<Vec<GuildId>>;
    /// The guild a channel belongs to.
    async fn guild_of_channel(&self, channel: ChannelId) -> Result<Option<GuildId>>;
    /// A user's ban from a guild.
    async fn ban(&self, guild: GuildId, user: UserId) -> Result<Option<BanRecord>>;
    /// Bans of a guild in user id order, between `after` and `before`, at most `limit`; with
    /// `before` alone the ones nearest to it.
    async fn bans(
        &self,
        guild: GuildId,
        before: Option<UserId>,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<BanRecord>>;

    /// One message.
    async fn message(
        &self,
        channel: ChannelId,
        message: MessageId,
    ) -> Result<Option<MessageRecord>>;
    /// Several messages of a channel, in the order asked; `None` where there is none.
    async fn messages_by_id(
        &self,
        channel: ChannelId,
        messages: &[MessageId],
    ) -> Result<Vec<Option<MessageRecord>>>;
    /// A page of a channel's history, newest first, at most `limit`.
    async fn messages(
        &self,
        channel: ChannelId,
        page: Page,
        limit: usize,
    ) -> Result<Vec<MessageRecord>>;
    /// Pinned messages, last pinned first, with the time of the pin, pinned before `before`
    /// (Unix milliseconds), at most `limit`.
    async fn pins(
        &self,
        channel: ChannelId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(MessageRecord, u64)>>;
    /// How many pins a channel has.
    async fn pin_count(&self, channel: ChannelId) -> Result<usize>;
    /// Reactions of several messages of a channel, in the order asked, each message's in the order of
    /// their first use.
    async fn reaction_counts(
        &self,
        channel: ChannelId,
        messages: &[MessageId],
    ) -> Result<Vec<Vec<EmojiCount>>>;
    /// All users who reacted with an emoji to a message, in id order, for each of `of`: for
    /// reactions of which is known that they are few.
    async fn reactors_of(
        &self,
        channel: ChannelId,
        of: &[(MessageId, ReactionEmoji)],
    ) -> Result<Vec<Vec<UserId>>>;
    /// Whether `user` reacted with an emoji to a message, for each of `of`.
    async fn reacted(
        &self,
        channel: ChannelId,
        user: UserId,
        of: &[(MessageId, ReactionEmoji)],
    ) -> Result<Vec<bool>>;
    /// Users who reacted with an emoji, in id order from above `after`, at most `limit`.
    async fn reactors(
        &self,
        channel: ChannelId,
        message: MessageId,
        emoji: &ReactionEmoji,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<UserId>>;
    /// Like [`Store::reactors`], with the time of each reaction (Unix milliseconds).
    async fn reaction_times(
        &self,
        channel: ChannelId,
        message: MessageId,
        emoji: &ReactionEmoji,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, u64)>>;

    /// A user's read state of a channel.
    async fn read_state(&self, user: UserId, channel: ChannelId) -> Result<Option<ReadState>>;
    /// A user's read states in the order of channel ids, at most `limit`.
    async fn read_states(&self, user: UserId, limit: usize) -> Result<Vec<ReadState>>;

    /// A value stored with [`Write::PutSetting`].
    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>>;
    /// All settings, by the bytes of their names from above `after`, at most `limit`.
    async fn list_settings(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>>;
    /// Deletes the messages of a channel that is gone, at most `limit` at a time; answers how many
    /// it deleted, so that a job can go on until 0.
    ///
    /// # Errors
    /// [`StoreError::NotApplied`] when the channel is still there: delete it first.
    async fn purge_channel(&self, channel: ChannelId, limit: usize) -> Result<usize>;
    /// Channels that were deleted, alone or with their guild, and still have to be purged, at most
    /// `limit`: the work list of the job, so that a crash between a delete and its purge leaves
    /// nothing behind.
    async fn channels_to_purge(&self, limit: usize) -> Result<Vec<ChannelId>>;

    /// Files that no message refers to any more, at most `limit`: they came onto this list in the
    /// batch that dropped the last reference, and leave it with [`Write::ForgetFiles`], so that a
    /// crash in between leaves none behind.
    async fn files_to_delete(&self, limit: usize) -> Result<Vec<LostFile>>;

    /// Work in the background this engine needs done, if any; see [`crate::upkeep`].
    fn upkeep(&self) -> Option<Box<dyn Upkeep>> {
        None
    }

    /// Whether the store can still write.
    ///
    /// # Errors
    /// [`StoreError::Broken`]: it never will again; the node must stop and reopen it.
    fn health(&self) -> Result<()>;

    /// Whether a store that is broken ([`Store::health`]) would open again in a fresh start: what it
    /// writes to takes writes again. Asked now and then, as long as it is broken.
    ///
    /// # Errors
    /// [`StoreError::Broken`] says what is still wrong: stay, reads may go on. Nothing was changed.
    async fn mended(&self) -> Result<()> {
        Ok(())
    }
    /// Finishes what is queued and refuses every later write with [`StoreError::NotApplied`]; reads
    /// go on. Closing twice is no error.
    ///
    /// # Errors
    /// [`StoreError::Broken`] when the store broke before or while it finished.
    async fn close(&self) -> Result<()>;
}
