//! Guilds that die, stores that fail, members that leave, and many who want the same at once: what
//! was acknowledged is there once and was published once, what failed was not, and nobody sees what
//! they may not.

#![allow(clippy::unwrap_used)]

mod world;

mod deaths;
mod stores;
mod members;
mod ownership;
mod fence;
mod message_races;
mod stampede;
mod upkeep;
