//! Rules of messages: posting, editing, deleting, typing (Discord docs, Message Resource).

use std::collections::{BTreeMap, BTreeSet};

use model::channel::Channel;
use model::embed::Embed;
use model::form::FormErrors;
use model::message::{
    self, Draft, Message, MessagePatch, MessageRecord, MessageReference, flags, kind,
};
use model::permissions::Permissions;
use model::user::User;
use model::{ChannelId, MessageId, RoleId, UserId, limits, mentions, snowflake, time};
use storage::store::{RecordPatch, Write};

use super::{Asker, Effect, GuildState, Turn, check};
use crate::error::{ChatError, Refusal, Result};
use crate::guild::command::{Answer, Found, Look};
use crate::history;

/// Whom a text notifies, after everyone's permissions.
struct Notified {
    users: Vec<UserId>,
    roles: Vec<RoleId>,
    everyone: bool,
}

impl GuildState {
    pub(super) fn post_message(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        channel: ChannelId,
        mut draft: Draft,
        reply_to: Option<Message>,
    ) -> Result<Answer> {
        // A message has an author; the operator is none.
        let author = asker.user.ok_or(ChatError::MissingAccess)?;
        let (place, has) = self.seen(&asker, channel)?;
        if !place.is_textual() {
            return Err(ChatError::Refused(Refusal::NonTextChannel));
        }
        check(has, Permissions::SEND_MESSAGES)?;
        if draft.enforce_nonce
            && let Some(nonce) = &draft.nonce
            && let Some(first) = self.nonces.find(turn.now_ms, author, channel, nonce)
        {
            turn.effects.push(Effect::Show(channel, first));
            return Ok(Answer::Done);
        }
        if draft.is_empty() {
            return Err(ChatError::Refused(Refusal::EmptyMessage));
        }
        draft.validate()?;
        judge_parts(&mut draft, has)?;
        let answered = answered(&draft, has, reply_to)?;
        self.judge_slow_mode(turn.now_ms, author, place, has)?;

        let mut notified = self.notified(&draft.content, draft.allowed_mentions.as_ref(), has);
        let pinged = answered.as_ref().map(|message| &message.author);
        let pinged = pinged.filter(|_| mentions::notifies_replied(draft.allowed_mentions.as_ref()));
        if let Some(user) = pinged.filter(|user| !notified.users.contains(&user.id)) {
            notified.users.push(user.id);
        }
        let slow = if bypasses_slow_mode(has) {
            0
        } else {
            place.rate_limit_per_user
        };
        if let Some(last) = place.last_message_id {
            turn.ids.observe(last);
        }
        let record = MessageRecord {
            id: turn.ids.next(turn.now_ms),
            channel_id: channel,
            guild_id: self.guild.id,
            author_id: author,
            kind: if answered.is_some() {
                kind::REPLY
            } else {
                kind::DEFAULT
            },
            content: draft.content,
            edited_timestamp: None,
            tts: draft.tts && has.contains(Permissions::SEND_TTS_MESSAGES),
            mention_everyone: notified.everyone,
            mentions: notified.users,
            mention_roles: notified.roles,
            attachments: draft.attachments,
            embeds: draft.embeds,
            components: draft.components,
            nonce: draft.nonce,
            pinned: false,
            flags: draft.flags & flags::SETTABLE,
            message_reference: answered
                .as_ref()
                .map(|message| self.reference(channel, message.id)),
        };
        let pinged = pinged.cloned();
        let mut posted = self.hydrated(&record, pinged.as_ref());
        if let Some(message) = answered {
            posted.referenced_message = Some(Some(Box::new(message)));
        }
        self.nonces.remember(turn.now_ms, &posted);
        if slow > 0 {
            self.slow_mode.posted(channel, author, turn.now_ms, slow);
        }
        self.store_new(turn, record, &posted);
        Ok(Answer::Message(Box::new(posted)))
    }

    /// Writes and publishes a new message, which is from now on the channel's last.
    pub(super) fn store_new(
        &mut self,
        turn: &mut Turn<'_>,
        record: MessageRecord,
        message: &Message,
    ) {
        if let Some(place) = self.channels.get_mut(&record.channel_id) {
            place.last_message_id = Some(record.id);
        }
        turn.write(Write::PutMessage(Box::new(record)));
        turn.publish(self.message_create(message));
    }

    /// The message as its author is answered. `also` is a user that need not be a member.
    pub(super) fn hydrated(&self, record: &MessageRecord, also: Option<&User>) -> Message {
        let mut message = Message::from_record(record, |id| {
            let member = self.members.get(&id).map(|row| row.user.clone());
            member.or_else(|| also.filter(|user| user.id == id).cloned())
        });
        history::absolute_links(&mut message, &self.public_url);
        message
    }

    pub(super) fn reference(&self, channel: ChannelId, message: MessageId) -> MessageReference {
        MessageReference {
            kind: 0,
            message_id: Some(message),
            channel_id: channel,
            guild_id: Some(self.guild.id),
        }
    }

    fn judge_slow_mode(
        &self,
        now_ms: u64,
        author: UserId,
        place: &Channel,
        has: Permissions,
    ) -> Result<()> {
        if place.rate_limit_per_user == 0 || bypasses_slow_mode(has) {
            return Ok(());
        }
        match self.slow_mode.wait(now_ms, place.id, author) {
            Some(retry_after) => Err(ChatError::SlowMode { retry_after }),
            None => Ok(()),
        }
    }

    /// What the text names, of that what the author allows, and of that what exists and what the
    /// author may notify (Discord docs, Message Resource, "Allowed Mentions Object").
    fn notified(
        &self,
        content: &str,
        allowed: Option<&mentions::AllowedMentions>,
        has: Permissions,
    ) -> Notified {
        let named = mentions::allow(allowed, mentions::scan(content));
        let everyone = has.contains(Permissions::MENTION_EVERYONE);
        let known = |id: &RoleId| {
            self.roles
                .get(id)
                .is_some_and(|role| everyone || role.mentionable)
        };
        Notified {
            users: named
                .users
                .into_iter()
                .filter(|id| self.members.contains_key(id))
                .collect(),
            roles: named.roles.into_iter().filter(known).collect(),
            everyone: named.everyone && everyone,
        }
    }

    pub(super) fn edit_message(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        look: Look,
        record: &MessageRecord,
        patch: MessagePatch,
    ) -> Result<Answer> {
        let (_, has) = self.seen(&asker, record.channel_id)?;
        if !matches!(record.kind, kind::DEFAULT | kind::REPLY) {
            return Err(ChatError::Refused(Refusal::SystemMessage));
        }
        let rewrites = patch.content.is_some()
            || patch.embeds.is_some()
            || patch.components.is_some()
            || patch.attachments.is_some();
        if !asker.is(record.author_id) {
            if rewrites {
                return Err(ChatError::Refused(Refusal::EditOthers));
            }
            check(has, Permissions::MANAGE_MESSAGES)?;
        }
        if !self.recent.row_holds(look, record.id) {
            return Ok(Answer::LookAgain);
        }
        let mut changes = RecordPatch {
            flags: patch.flags.map(|new| {
                (record.flags & !flags::SUPPRESS_EMBEDS) | (new & flags::SUPPRESS_EMBEDS)
            }),
            ..RecordPatch::default()
        };
        if rewrites {
            self.rewrite(turn.now_ms, record, patch, has, &mut changes)?;
        }
        let (channel, message) = (record.channel_id, record.id);
        self.recent.row_changed(turn.number, message);
        turn.write(Write::PatchMessage(channel, message, Box::new(changes)));
        turn.effects.push(Effect::PublishUpdate {
            channel,
            message,
            member: self.partial(record.author_id).map(Box::new),
            answers: true,
        });
        Ok(Answer::Done)
    }

    /// What only the author changes.
    fn rewrite(
        &self,
        now_ms: u64,
        record: &MessageRecord,
        mut patch: MessagePatch,
        has: Permissions,
        changes: &mut RecordPatch,
    ) -> Result<()> {
        if let Some(allowed) = &patch.allowed_mentions {
            allowed.validate()?;
        }
        if let Some(attachments) = &patch.attachments {
            let new = |id| {
                record
                    .attachments
                    .iter()
                    .all(|attachment| attachment.id != id)
            };
            if attachments.iter().any(|attachment| new(attachment.id)) {
                check(has, Permissions::ATTACH_FILES)?;
            }
            if attachments.len() > limits::ATTACHMENTS_MAX {
                let message = format!("Must be {} or fewer in length.", limits::ATTACHMENTS_MAX);
                return Err(FormErrors::one("attachments", "BASE_TYPE_MAX_LENGTH", message).into());
            }
        }
        if let Some(embeds) = &mut patch.embeds {
            drop_embeds(embeds, has);
        }
        let after = Draft {
            content: patch
                .content
                .clone()
                .unwrap_or_else(|| record.content.clone()),
            embeds: patch
                .embeds
                .clone()
                .unwrap_or_else(|| record.embeds.clone()),
            components: patch
                .components
                .clone()
                .unwrap_or_else(|| record.components.clone()),
            attachments: patch
                .attachments
                .clone()
                .unwrap_or_else(|| record.attachments.clone()),
            ..Draft::default()
        };
        if after.is_empty() {
            return Err(ChatError::Refused(Refusal::EmptyMessage));
        }
        if let Some(content) = &patch.content {
            message::check_content(content)?;
            let mut notified = self.notified(content, patch.allowed_mentions.as_ref(), has);
            // Whoever was notified without being named is the author of the answered message.
            let named: BTreeSet<UserId> =
                mentions::scan(&record.content).users.into_iter().collect();
            if mentions::notifies_replied(patch.allowed_mentions.as_ref()) {
                let pinged = record.mentions.iter().filter(|id| !named.contains(id));
                let pinged: Vec<UserId> = pinged
                    .filter(|id| !notified.users.contains(id))
                    .copied()
                    .collect();
                notified.users.extend(pinged);
            }
            changes.mentions = Some(notified.users);
            changes.mention_roles = Some(notified.roles);
            changes.mention_everyone = Some(notified.everyone);
        }
        changes.content = patch.content;
        changes.embeds = patch.embeds;
        changes.components = patch.components;
        changes.attachments = patch.attachments;
        changes.edited_timestamp = Some(time::from_unix_ms(now_ms));
        Ok(())
    }

    pub(super) fn delete_message(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        found: Found,
        pinned: bool,
    ) -> Result<Answer> {
        let (channel, message) = (found.channel, found.message);
        let (_, has) = self.seen(&asker, channel)?;
        if !asker.is(found.author) {
            check(has, Permissions::MANAGE_MESSAGES)?;
        }
        if !self.recent.is_there(found.look, message) {
            return Ok(Answer::LookAgain);
        }
        self.delete(turn, channel, message, pinned);
        turn.publish(self.message_delete(channel, message));
        Ok(Answer::Done)
    }

    /// Writes that a message is gone; whoever calls this publishes it.
    pub(super) fn delete(
        &mut self,
        turn: &mut Turn<'_>,
        channel: ChannelId,
        message: MessageId,
        pinned: bool,
    ) {
        self.recent.deleted(turn.number, channel, message, pinned);
        self.nonces.forget(message);
        turn.write(Write::DeleteMessage(channel, message));
    }

    pub(super) fn bulk_delete(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        look: Look,
        channel: ChannelId,
        messages: Vec<MessageId>,
        found: &[(MessageId, bool)],
    ) -> Result<Answer> {
        self.allowed_in(&asker, channel, Permissions::MANAGE_MESSAGES)?;
        let messages: BTreeSet<MessageId> = messages.into_iter().collect();
        if !(limits::BULK_DELETE_MIN..=limits::BULK_DELETE_MAX).contains(&messages.len()) {
            return Err(ChatError::Refused(Refusal::BulkCount));
        }
        let oldest = turn.now_ms.saturating_sub(limits::BULK_DELETE_AGE_MS);
        if messages
            .iter()
            .any(|id| snowflake::timestamp_ms(*id) < oldest)
        {
            return Err(ChatError::Refused(Refusal::BulkTooOld));
        }
        if !found.iter().all(|(id, _)| self.recent.is_there(look, *id)) {
            return Ok(Answer::LookAgain);
        }
        let found: BTreeMap<MessageId, bool> = found.iter().copied().collect();
        let gone: Vec<MessageId> = found.keys().copied().collect();
        for (message, pinned) in found {
            self.delete(turn, channel, message, pinned);
        }
        if !gone.is_empty() {
            turn.publish(self.message_delete_bulk(channel, &gone));
        }
        Ok(Answer::Done)
    }

    pub(super) fn typing(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        channel: ChannelId,
    ) -> Result<Answer> {
        let user = asker.user.ok_or(ChatError::MissingAccess)?;
        let (place, has) = self.seen(&asker, channel)?;
        if !place.is_textual() {
            return Err(ChatError::Refused(Refusal::NonTextChannel));
        }
        check(has, Permissions::SEND_MESSAGES)?;
        turn.publish(self.typing_start(&*self.row(user)?, channel, turn.now_ms));
        Ok(Answer::Done)
    }
}

fn bypasses_slow_mode(has: Permissions) -> bool {
    has.intersects(
        Permissions::BYPASS_SLOWMODE | Permissions::MANAGE_MESSAGES | Permissions::MANAGE_CHANNELS,
    )
}

/// Files need ATTACH_FILES; without EMBED_LINKS embeds are left out, and a message of nothing else
/// is refused.
fn judge_parts(draft: &mut Draft, has: Permissions) -> Result<()> {
    if !draft.attachments.is_empty() {
        check(has, Permissions::ATTACH_FILES)?;
    }
    drop_embeds(&mut draft.embeds, has);
    if draft.is_empty() {
        Err(ChatError::MissingPermissions)
    } else {
        Ok(())
    }
}

fn drop_embeds(embeds: &mut Vec<Embed>, has: Permissions) {
    if !has.contains(Permissions::EMBED_LINKS) {
        embeds.clear();
    }
}

/// The message a draft answers, if it answers one that is still there.
fn answered(draft: &Draft, has: Permissions, found: Option<Message>) -> Result<Option<Message>> {
    if draft.reply_to.is_none() {
        return Ok(None);
    }
    check(has, Permissions::READ_MESSAGE_HISTORY)?;
    let refuse = |code, text: &str| Err(FormErrors::one("message_reference", code, text).into());
    match found {
        None if draft.fail_if_not_exists => refuse("REPLIES_UNKNOWN_MESSAGE", "Unknown message"),
        None => Ok(None),
        Some(message) if message.kind == kind::CHANNEL_PINNED_MESSAGE => refuse(
            "REPLIES_CANNOT_REPLY_TO_SYSTEM_MESSAGE",
            "Cannot reply to a system message",
        ),
        Some(message) => Ok(Some(message)),
    }
}
