//! Sessions over a whole chat system on the memory store: login, guilds, resume, presence, and
//! what is left when something dies.

#![allow(clippy::unwrap_used)]

mod world;

mod logins;
mod resuming;
mod guilds;
mod presence;
mod deaths;
