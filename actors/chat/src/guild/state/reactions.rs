//! Rules of reactions (Discord docs, Message Resource, "Create Reaction" and following).

use model::emoji::ReactionEmoji;
use model::permissions::Permissions;
use model::reaction::ReactionRecord;
use model::{ChannelId, MessageId, UserId, limits};
use storage::store::Write;

use super::{Asker, GuildState, Turn, check};
use crate::error::{ChatError, Missing, Refusal, Result};
use crate::guild::command::Answer;

/// A reaction asked for, with what the store says of the message.
pub(super) struct Asked {
    pub(super) channel: ChannelId,
    pub(super) message: MessageId,
    pub(super) author: UserId,
    pub(super) emoji: ReactionEmoji,
    pub(super) kinds: usize,
    pub(super) known: bool,
    pub(super) already: bool,
}

impl GuildState {
    pub(super) fn add_reaction(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        asked: Asked,
    ) -> Result<Answer> {
        let user = asker.user.ok_or(ChatError::MissingAccess)?;
        let (_, has) = self.allowed_in(&asker, asked.channel, Permissions::READ_MESSAGE_HISTORY)?;
        let row = self.row(user)?;
        // Anyone may join a reaction that is there, but not while timed out.
        if !asked.known || self.subject(row, turn.now_ms).timed_out {
            check(has, Permissions::ADD_REACTIONS)?;
        }
        if !asked.known {
            // No guild here has emoji of its own yet, so an id names none.
            if asked.emoji.id.is_some() {
                return Err(ChatError::NotFound(Missing::Emoji));
            }
            if asked.kinds >= limits::REACTIONS_MAX {
                return Err(ChatError::Refused(Refusal::ReactionsMax));
            }
        }
        if asked.already {
            return Ok(Answer::Done);
        }
        turn.publish(self.reaction_add(
            row,
            asked.channel,
            asked.message,
            asked.author,
            &asked.emoji,
        ));
        turn.write(Write::PutReaction(ReactionRecord {
            channel_id: asked.channel,
            message_id: asked.message,
            user_id: user,
            emoji: asked.emoji,
            at_ms: turn.now_ms,
        }));
        Ok(Answer::Done)
    }

    pub(super) fn remove_reaction(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        channel: ChannelId,
        message: MessageId,
        user: UserId,
        emoji: ReactionEmoji,
    ) -> Result<Answer> {
        let (_, has) = self.allowed_in(&asker, channel, Permissions::READ_MESSAGE_HISTORY)?;
        if !asker.is(user) {
            check(has, Permissions::MANAGE_MESSAGES)?;
        }
        turn.publish(self.reaction_remove(user, channel, message, &emoji));
        turn.write(Write::DeleteReaction(channel, message, emoji, user));
        Ok(Answer::Done)
    }

    pub(super) fn clear_reactions(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        channel: ChannelId,
        message: MessageId,
        emoji: Option<ReactionEmoji>,
    ) -> Result<Answer> {
        self.allowed_in(&asker, channel, Permissions::MANAGE_MESSAGES)?;
        turn.publish(self.reactions_cleared(channel, message, emoji.as_ref()));
        turn.write(Write::ClearReactions(channel, message, emoji));
        Ok(Answer::Done)
    }
}
