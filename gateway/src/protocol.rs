//! The gateway protocol as pure functions: bytes in, payload or close code out.
//!
//! ```text
//! text or binary message ──▶ payload::parse ──▶ ClientPayload      what the client wants
//!                                    │
//!                                    └────────▶ CloseCode           why the connection ends
//! ```
//!
//! Nothing here knows sockets, sessions or clocks; [`crate::socket`] drives it. Source: Discord
//! docs, Gateway and Gateway Events; Topics, Opcodes and Status Codes.

pub mod opcode;
pub mod close;
pub mod payload;

pub use close::CloseCode;
pub use opcode::Opcode;
pub use payload::ClientPayload;
