//! Compressed bodies of the last events, found by the place of the event's bytes in memory.
//!
//! ```text
//! address of the body ──hash──▶ one of 16 shards ──▶ [ body, deflate once, zstd once ] × 8
//! ```
//!
//! Every worker that fans out an event comes here once per delivery, all for the same few bodies.
//! To find one takes no lock and writes nothing but a counter: a shard is an immutable list, and who
//! adds to it puts a new list in its place. A form is made by the first who needs it; others who
//! need it at that moment wait the few dozen microseconds instead of doing the same work.

use std::ptr;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use bytes::Bytes;
use metrics::{Counter, counter};

use super::Form;

/// Bodies kept; a shard that is full forgets its oldest one, which is compressed again if it is
/// still needed. Counters `guildhall_gateway_shared_bodies_hits_total` and `…_misses_total`.
pub const SHARED_KEPT_MAX: usize = SHARDS * SHARD_KEPT;

/// Largest body that is kept, bytes; larger ones are compressed for each session.
pub const SHARED_BYTES_MAX: usize = 32 * 1_024;

/// Largest shared body of a GUILD_CREATE that is kept, bytes; policy as for [`SHARED_BYTES_MAX`].
pub const SHARED_CREATE_BYTES_MAX: usize = 256 * 1_024;

/// Lists the bodies are spread over.
const SHARDS: usize = 1 << SHARDS_LOG;

const SHARDS_LOG: u32 = 4;

/// Bodies in a shard: four times what a batch of 32 events puts there on average.
const SHARD_KEPT: usize = 8;

/// Bodies of events, each compressed at most once in each form.
pub(crate) struct SharedBodies {
    shards: [ArcSwap<Vec<Arc<Shared>>>; SHARDS],
    hits: Counter,
    misses: Counter,
}

/// A body and its compressed forms. It holds the body, so that its memory cannot become another
/// body's: the same place and length is the same body.
struct Shared {
    body: Bytes,
    deflate: OnceLock<Vec<u8>>,
    zstd: OnceLock<Vec<u8>>,
}

impl SharedBodies {
    /// Empty.
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| ArcSwap::default()),
            hits: counter!("guildhall_gateway_shared_bodies_hits_total"),
            misses: counter!("guildhall_gateway_shared_bodies_misses_total"),
        }
    }

    /// Appends `body` in `form` to `out`.
    pub(super) fn append(&self, form: Form, body: &Bytes, out: &mut Vec<u8>) {
        let shard = &self.shards[shard_of(body)];
        if let Some(shared) = find(&shard.load(), body) {
            self.append_form(shared, form, out);
            return;
        }
        let mut shared = Arc::new(Shared::new(body));
        shard.rcu(|kept| match find(kept, body) {
            // Another worker was faster.
            Some(theirs) => {
                shared = Arc::clone(theirs);
                Arc::clone(kept)
            }
            None => {
                let forget = (kept.len() + 1).saturating_sub(SHARD_KEPT);
                let newer = kept.iter().skip(forget).chain([&shared]);
                Arc::new(newer.cloned().collect())
            }
        });
        self.append_form(&shared, form, out);
    }

    fn append_form(&self, shared: &Shared, form: Form, out: &mut Vec<u8>) {
        let mut counter = &self.hits;
        let compressed = shared.slot(form).get_or_init(|| {
            counter = &self.misses;
            form.make(&shared.body)
        });
        counter.increment(1);
        out.extend_from_slice(compressed);
    }

    /// How many bodies are kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.shards.iter().map(|shard| shard.load().len()).sum()
    }

    /// Where the compressed form of `body` lies, if it was made and is kept.
    #[cfg(test)]
    pub(super) fn place(&self, form: Form, body: &Bytes) -> Option<*const u8> {
        let kept = self.shards[shard_of(body)].load();
        let compressed = find(&kept, body)?.slot(form).get()?;
        Some(compressed.as_ptr())
    }
}

impl Shared {
    fn new(body: &Bytes) -> Self {
        Self {
            body: body.clone(),
            deflate: OnceLock::new(),
            zstd: OnceLock::new(),
        }
    }

    fn slot(&self, form: Form) -> &OnceLock<Vec<u8>> {
        match form {
            Form::Deflate => &self.deflate,
            Form::Zstd => &self.zstd,
        }
    }
}

fn find<'a>(kept: &'a [Arc<Shared>], body: &Bytes) -> Option<&'a Arc<Shared>> {
    let same = |shared: &&Arc<Shared>| {
        ptr::eq(shared.body.as_ptr(), body.as_ptr()) && shared.body.len() == body.len()
    };
    kept.iter().rev().find(same)
}

/// Addresses are multiples of 16 and lie close together: multiplicative hashing (Knuth, The Art of
/// Computer Programming, volume 3, 6.4) spreads them.
fn shard_of(body: &Bytes) -> usize {
    let hash = (body.as_ptr().addr() as u64 >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> (u64::BITS - SHARDS_LOG)) as usize
}
