//! Who gets the content of a message (Discord docs, Gateway, "Message Content Intent"): the one
//! place that says what is blanked, and for whom not. The gateway's events and the answers of the
//! HTTP API both follow it.

use model::UserId;
use model::intents::Intents;
use model::message::Message;
use model::user::Account;

/// The message without its content, embeds, files and components; so is the message it answers.
pub fn blank(message: &Message) -> Message {
    let mut blank = message.clone();
    blank.content.clear();
    blank.embeds.clear();
    blank.attachments.clear();
    blank.components.clear();
    if let Some(Some(answered)) = &mut blank.referenced_message {
        **answered = self::blank(answered);
    }
    blank
}

/// Who gets the whole message all the same: its author and whoever it mentions.
pub fn whole_for(message: &Message) -> impl Iterator<Item = UserId> {
    let mentioned = message.mentions.iter().map(|user| user.id);
    std::iter::once(message.author.id).chain(mentioned)
}

/// Whether an account gets all messages whole: people do, and bots whose application may use the
/// privileged intent.
pub fn reads_content(account: &Account) -> bool {
    account.application.as_ref().is_none_or(|application| {
        Intents::privileged_of(application.flags).contains(Intents::MESSAGE_CONTENT)
    })
}

/// The message as `account` gets it.
pub fn as_seen_by(account: &Account, message: Message) -> Message {
    let user = account.user.id;
    if reads_content(account) || whole_for(&message).any(|whole| whole == user) {
        message
    } else {
        blank(&message)
    }
}
