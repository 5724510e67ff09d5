//! Process identifiers: plain data which may be copied, compared, stored and sent.
//!
//! A [`Pid`] names one process of one *incarnation* of one node. It never names anything
//! else again: serials are not reused, and a restarted node has a new incarnation.

use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

use serde::{Deserialize, Serialize};

/// The identity of a process (Erlang: `pid()`).
///
/// Order is by node, then incarnation, then age: within one node an older process sorts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pid {
    node: u32,
    incarnation: u32,
    serial: u64,
}

impl Pid {
    /// Builds a pid from its three parts, for code which decodes pids from a wire format.
    pub const fn from_parts(node: u32, incarnation: u32, serial: u64) -> Pid {
        Pid {
            node,
            incarnation,
            serial,
        }
    }

    /// The hash of the owning node's name (see [`node_hash`]).
    pub const fn node(self) -> u32 {
        self.node
    }

    /// Which life of the node this is (Erlang: creation).
    pub const fn incarnation(self) -> u32 {
        self.incarnation
    }

    /// The number of the process within its node's incarnation; 0 is the outside world, which
    /// is the sender of signals that come from no process.
    pub const fn serial(self) -> u64 {
        self.serial
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "<{:08x}.{:x}.{}>",
            self.node, self.incarnation, self.serial
        )
    }
}

/// The 32-bit hash of a node name which its pids carry (FNV-1a, stable between versions).
pub fn node_hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// The identity of one monitor, returned by [`crate::Context::monitor`] and carried by its DOWN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MonitorRef(pub(crate) u64);

/// The identity of one spawn request (`spawn_request/5`), carried by [`crate::Info::Spawned`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestRef(pub(crate) u64);

/// An address of a process that can be taken back (`alias/1`): messages to it arrive while it is
/// active and are dropped without a trace afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Alias {
    pub(crate) pid: Pid,
    pub(crate) id: u64,
}

impl Alias {
    /// The process it stands for.
    pub const fn pid(self) -> Pid {
        self.pid
    }
}

/// The identity of one timer of one process, for [`crate::Context::cancel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerRef(pub(crate) u64);

/// A hasher for keys which are counters already: mixes, but does not defend against chosen keys,
/// because no outsider chooses serials.
#[derive(Default)]
pub(crate) struct SerialHasher(u64);

impl Hasher for SerialHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        // Fibonacci hashing: neighbouring serials end far apart, in the high bits too, which
        // is where the tables take their shard and their tag from.
        self.0 = (self.0.rotate_left(29) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// Builds [`SerialHasher`]s.
pub(crate) type SerialHash = BuildHasherDefault<SerialHasher>;
