//! Rules of pins (Discord docs, Message Resource, "Pin Message" and "Unpin Message").

use model::message::{MessageRecord, kind};
use model::permissions::Permissions;
use model::{UserId, limits, time};
use storage::store::{RecordPatch, Write};

use super::{Asker, Effect, GuildState, Turn};
use crate::error::{ChatError, Missing, Refusal, Result};
use crate::guild::command::{Answer, Look};

impl GuildState {
    pub(super) fn set_pinned(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        look: Look,
        record: &MessageRecord,
        pinned: bool,
        pins: usize,
    ) -> Result<Answer> {
        let (channel, message) = (record.channel_id, record.id);
        self.allowed_in(&asker, channel, Permissions::PIN_MESSAGES)?;
        if !self.recent.row_holds(look, message) || !self.recent.pins_hold(look, channel) {
            return Ok(Answer::LookAgain);
        }
        if record.pinned == pinned {
            return Ok(Answer::Done);
        }
        if pinned && !matches!(record.kind, kind::DEFAULT | kind::REPLY) {
            return Err(ChatError::Refused(Refusal::SystemMessage));
        }
        if pinned && pins >= limits::PINS_MAX {
            return Err(ChatError::Refused(Refusal::PinsMax));
        }
        let place = self
            .channels
            .get_mut(&channel)
            .ok_or(ChatError::NotFound(Missing::Channel))?;
        self.recent.row_changed(turn.number, message);
        self.recent.pins_changed(turn.number, channel);
        if pinned {
            place.last_pin_timestamp = Some(time::from_unix_ms(turn.now_ms));
            turn.write(Write::PutPin(channel, message, turn.now_ms));
        } else {
            if pins <= 1 {
                place.last_pin_timestamp = None;
            }
            turn.write(Write::DeletePin(channel, message));
        }
        let patch = RecordPatch {
            pinned: Some(pinned),
            ..RecordPatch::default()
        };
        turn.write(Write::PatchMessage(channel, message, Box::new(patch)));
        turn.effects.push(Effect::PublishUpdate {
            channel,
            message,
            member: self.partial(record.author_id).map(Box::new),
            answers: false,
        });
        if let Some(place) = self.channels.get(&channel) {
            turn.publish(self.pins_update(place));
        }
        if let Some(user) = asker.user.filter(|_| pinned) {
            self.tell_pinned(turn, user, record);
        }
        Ok(Answer::Done)
    }

    /// The message that says who pinned what.
    fn tell_pinned(&mut self, turn: &mut Turn<'_>, user: UserId, pinned: &MessageRecord) {
        let channel = pinned.channel_id;
        if let Some(last) = self
            .channels
            .get(&channel)
            .and_then(|place| place.last_message_id)
        {
            turn.ids.observe(last);
        }
        let record = MessageRecord {
            kind: kind::CHANNEL_PINNED_MESSAGE,
            message_reference: Some(self.reference(channel, pinned.id)),
            ..MessageRecord::new(turn.ids.next(turn.now_ms), channel, self.guild.id, user)
        };
        let message = self.hydrated(&record, None);
        self.store_new(turn, record, &message);
    }
}
