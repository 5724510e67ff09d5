//! x
crate::cases! {}
