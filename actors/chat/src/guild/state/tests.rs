//! The rules, case by case, and what holds after any sequence of commands.

#![allow(clippy::unwrap_used)]

mod changes;
mod channels;
mod creates;
mod fixture;
mod holders;
mod members;
mod messages;
mod pins;
mod property;
mod races;
mod reactions;
mod roles;
mod settings;
mod sight;
