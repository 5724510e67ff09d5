//! The rules, case by case, and what holds after any sequence of commands.

#![allow(clippy::unwrap_used)]

mod channels;
mod fixture;
mod members;
mod messages;
mod property;
mod races;
mod roles;
mod settings;
