//! Rules of reactions (Discord docs, Message Resource, "Create Reaction" and following). What a
//! message has is asked of [`super::recent`].

use model::emoji::ReactionEmoji;
use model::permissions::Permissions;
use model::reaction::ReactionRecord;
use model::{UserId, limits};
use storage::store::Write;

use super::{Asker, GuildState, Turn, check};
use crate::error::{ChatError, Missing, Refusal, Result};
use crate::guild::command::{Answer, Found, Reacted};

impl GuildState {
    pub(super) fn add_reaction(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        found: Found,
        emoji: ReactionEmoji,
        read: &Reacted,
    ) -> Result<Answer> {
        let user = asker.user.ok_or(ChatError::MissingAccess)?;
        let (channel, message) = (found.channel, found.message);
        let (_, has) = self.allowed_in(&asker, channel, Permissions::READ_MESSAGE_HISTORY)?;
        let row = self.row(user)?;
        if !self.recent.is_there(found.look, message) {
            return Ok(Answer::LookAgain);
        }
        let known = self.recent.reacted(message, read, user, &emoji);
        // Anyone may join a reaction that is there, but not while timed out.
        if !known.known || self.subject(&row, turn.now_ms).timed_out {
            check(has, Permissions::ADD_REACTIONS)?;
        }
        if !known.known {
            // No guild here has emoji of its own yet, so an id names none.
            if emoji.id.is_some() {
                return Err(ChatError::NotFound(Missing::Emoji));
            }
            if known.kinds >= limits::REACTIONS_MAX {
                return Err(ChatError::Refused(Refusal::ReactionsMax));
            }
        }
        if known.already {
            return Ok(Answer::Done);
        }
        turn.publish(self.reaction_add(&row, channel, message, found.author, &emoji));
        self.recent
            .reaction_changed(turn.number, message, read, (user, &emoji), true);
        turn.write(Write::PutReaction(ReactionRecord {
            channel_id: channel,
            message_id: message,
            user_id: user,
            emoji,
            at_ms: turn.now_ms,
        }));
        Ok(Answer::Done)
    }

    pub(super) fn remove_reaction(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        found: Found,
        user: UserId,
        emoji: ReactionEmoji,
        read: &Reacted,
    ) -> Result<Answer> {
        let (channel, message) = (found.channel, found.message);
        let (_, has) = self.allowed_in(&asker, channel, Permissions::READ_MESSAGE_HISTORY)?;
        if !asker.is(user) {
            check(has, Permissions::MANAGE_MESSAGES)?;
        }
        if !self.recent.is_there(found.look, message) {
            return Ok(Answer::LookAgain);
        }
        // Nothing to take back, and nothing to tell.
        if !self.recent.reacted(message, read, user, &emoji).already {
            return Ok(Answer::Done);
        }
        turn.publish(self.reaction_remove(user, channel, message, &emoji, asker.is(user)));
        self.recent
            .reaction_changed(turn.number, message, read, (user, &emoji), false);
        turn.write(Write::DeleteReaction(channel, message, emoji, user));
        Ok(Answer::Done)
    }

    pub(super) fn clear_reactions(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        found: Found,
        emoji: Option<ReactionEmoji>,
        read: &Reacted,
    ) -> Result<Answer> {
        let (channel, message) = (found.channel, found.message);
        self.allowed_in(&asker, channel, Permissions::MANAGE_MESSAGES)?;
        if !self.recent.is_there(found.look, message) {
            return Ok(Answer::LookAgain);
        }
        if !self.recent.has_reactions(message, read, emoji.as_ref()) {
            return Ok(Answer::Done);
        }
        turn.publish(self.reactions_cleared(channel, message, emoji.as_ref()));
        self.recent
            .reactions_cleared(turn.number, message, read, emoji.as_ref());
        turn.write(Write::ClearReactions(channel, message, emoji));
        Ok(Answer::Done)
    }
}
