//! Where things live: which node of a cluster owns a key, and which process there answers for it.
//!
//! In the order a request meets them: the pure consistent-hash ring ([`ring`]), and the directory
//! that goes through it to a process ([`directory`]).

pub mod ring;
pub mod directory;

pub use directory::{Directory, Located};
pub use ring::Ring;
