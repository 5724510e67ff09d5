//! The chat system: guilds, relays, sessions and presence as supervised processes.
//!
//! In the order a message meets them: the door ([`Chat`]), who speaks ([`accounts`]), the guild
//! that orders everything ([`guild`]), the relay that fans out ([`relay`]), the session that
//! outlives its socket ([`session`]), who is there ([`presence`]), who has read what
//! ([`read_states`]), what was said ([`history`]), who gets to read it ([`content`]), what was attached
//! ([`files`]), what the store needs done ([`upkeep`]), and the tree they all hang in ([`supervisor`]).

pub mod accounts;
pub mod guild;
pub mod relay;
pub mod session;
pub mod presence;
pub mod read_states;
pub mod history;
pub mod content;
pub mod files;
pub mod upkeep;
pub mod supervisor;
pub mod chat;
pub mod clock;
pub mod ids;
pub mod error;

pub use chat::{Chat, ChatConfig};
pub use error::ChatError;
