//! Rate limits of the HTTP API: per route and major parameter, per account, per address
//! (Discord docs, Rate Limits).
//!
//! ```text
//! address blocked? ─▶ 50/s of the account (global) ─▶ window of (bucket, channel or guild, account)
//! ```
//! Fixed windows, because clients are told how much is left and when it begins anew. Time is
//! handed in, so that the rules can be tested without waiting.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use model::UserId;
use serde_json::json;

use crate::routes::json_response;

/// Most windows kept at a time; at the limit windows that ended are dropped, and when none has, a
/// request that needs a new one is refused with scope `shared`. Gauge
/// `guildhall_http_rate_windows`.
pub(crate) const WINDOWS_MAX: usize = 200_000;
/// Most addresses whose invalid requests are counted; at the limit counts that ended are dropped,
/// and when none has, a new address is not counted.
pub(crate) const ADDRESSES_MAX: usize = 100_000;
/// How often windows that ended are dropped.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// Invalid requests (401, 403, 429) of an address per [`INVALID_WINDOW`] before it is blocked
/// (Discord docs, Rate Limits, "Invalid Request Limit").
pub(crate) const INVALID_MAX: u32 = 10_000;
/// The window of [`INVALID_MAX`]; an address stays blocked to its end.
pub(crate) const INVALID_WINDOW: Duration = Duration::from_secs(600);
/// Answers about limits come through us: some clients take a 429 without `Via` for a ban of their
/// address.
pub(crate) const VIA: HeaderValue = HeaderValue::from_static("1.1 guildhall");

/// How often routes that share a bucket may be called.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    name: &'static str,
    limit: u32,
    window: Duration,
}

impl Rule {
    const fn new(name: &'static str, limit: u32, window_ms: u64) -> Self {
        Self {
            name,
            limit,
            window: Duration::from_millis(window_ms),
        }
    }

    /// The hash in `X-RateLimit-Bucket`: the same for every major parameter.
    fn bucket(&self) -> String {
        let hash = self.name.bytes().fold(
            0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128,
            |hash, byte| {
                (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
            },
        );
        format!("{hash:032x}")
    }
}

/// All requests of an account together.
static GLOBAL: Rule = Rule::new("global", 50, 1_000);
/// Routes without a rule of their own.
static ORDINARY: Rule = Rule::new("ordinary", 50, 1_000);
static READ_MESSAGES: Rule = Rule::new("read messages", 50, 1_000);
static POST_MESSAGE: Rule = Rule::new("post message", 5, 5_000);
static EDIT_MESSAGE: Rule = Rule::new("edit message", 5, 5_000);
static DELETE_MESSAGE: Rule = Rule::new("delete message", 5, 1_000);
static BULK_DELETE: Rule = Rule::new("bulk delete", 1, 1_000);
static REACT: Rule = Rule::new("react", 1, 250);
static TYPING: Rule = Rule::new("typing", 5, 5_000);
static PIN: Rule = Rule::new("pin", 5, 4_000);
static MODIFY_CHANNEL: Rule = Rule::new("modify channel", 5, 15_000);
static CREATE_GUILD: Rule = Rule::new("create guild", 10, 10_000);
static MODIFY_MEMBER: Rule = Rule::new("modify member", 10, 10_000);
static MEMBER_ROLE: Rule = Rule::new("member role", 10, 10_000);
static SEARCH_MEMBERS: Rule = Rule::new("search members", 10, 10_000);
static GATEWAY_BOT: Rule = Rule::new("gateway bot", 5, 5_000);

/// The rule of a route; `route` is its pattern below the API's root.
pub(crate) fn rule(method: &Method, route: &str) -> &'static Rule {
    match (method.as_str(), route) {
        (
            "GET",
            "/channels/{channel_id}/messages" | "/channels/{channel_id}/messages/{message_id}",
        ) => &READ_MESSAGES,
        ("POST", "/channels/{channel_id}/messages") => &POST_MESSAGE,
        ("PATCH", "/channels/{channel_id}/messages/{message_id}") => &EDIT_MESSAGE,
        ("DELETE", "/channels/{channel_id}/messages/{message_id}") => &DELETE_MESSAGE,
        ("POST", "/channels/{channel_id}/messages/bulk-delete") => &BULK_DELETE,
        ("POST", "/channels/{channel_id}/typing") => &TYPING,
        ("PATCH", "/channels/{channel_id}") => &MODIFY_CHANNEL,
        ("PUT" | "DELETE", route) if route.contains("/reactions") => &REACT,
        ("PUT" | "DELETE", route) if route.contains("/pins/") => &PIN,
        ("POST", "/guilds") => &CREATE_GUILD,
        ("PATCH", route) if route.contains("/members/") => &MODIFY_MEMBER,
        ("PUT" | "DELETE", "/guilds/{guild_id}/members/{user_id}/roles/{role_id}") => &MEMBER_ROLE,
        ("GET", "/guilds/{guild_id}/members/search") => &SEARCH_MEMBERS,
        ("GET", "/gateway/bot") => &GATEWAY_BOT,
        _ => &ORDINARY,
    }
}

/// The channel or guild a path is about, or 0: limits count for each apart.
pub(crate) fn major(path: &str) -> u64 {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    match (segments.next(), segments.next()) {
        (Some("channels" | "guilds"), Some(id)) => id.parse().unwrap_or(0),
        _ => 0,
    }
}

/// Who is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// An account.
    User(UserId),
    /// An address, when nobody signed in: of IPv6 the network of 64 bits, which is what one
    /// customer has.
    Address(IpAddr),
}

impl Who {
    /// An address as it is counted.
    pub(crate) fn address(address: IpAddr) -> Self {
        match address {
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => Self::Address(v4.into()),
                None => Self::Address(
                    std::net::Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
                ),
            },
            v4 => Self::Address(v4),
        }
    }
}

/// What a window said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Admission {
    rule: &'static Rule,
    remaining: u32,
    reset_after: Duration,
    verdict: Verdict,
}

/// Whether a request may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Admitted,
    Refused,
    /// The account as a whole was too quick.
    RefusedGlobally,
    /// There is no room to count one more window.
    RefusedForAll,
}

impl Admission {
    /// Whether the request may go on.
    pub(crate) fn is_admitted(&self) -> bool {
        self.verdict == Verdict::Admitted
    }

    /// Puts the `X-RateLimit-*` headers on an answer.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        if matches!(
            self.verdict,
            Verdict::RefusedGlobally | Verdict::RefusedForAll
        ) {
            return;
        }
        let after = seconds_up(self.reset_after);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let reset = seconds_up(now + self.reset_after);
        let texts = [
            ("x-ratelimit-limit", self.rule.limit.to_string()),
            ("x-ratelimit-remaining", self.remaining.to_string()),
            ("x-ratelimit-reset", format!("{reset:.3}")),
            ("x-ratelimit-reset-after", format!("{after:.3}")),
            ("x-ratelimit-bucket", self.rule.bucket()),
        ];
        for (name, text) in texts {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        }
    }

    /// The 429 of a request that was not admitted.
    pub(crate) fn refusal(&self) -> Response {
        let (scope, global) = match self.verdict {
            Verdict::RefusedGlobally => ("global", true),
            Verdict::RefusedForAll => ("shared", false),
            Verdict::Refused | Verdict::Admitted => ("user", false),
        };
        metrics::counter!("guildhall_http_rate_limited_total", "scope" => scope).increment(1);
        let seconds = seconds_up(self.reset_after);
        let body = json!({
            "message": "You are being rate limited.",
            "retry_after": seconds,
            "global": global,
        });
        let mut response = json_response(StatusCode::TOO_MANY_REQUESTS, &body);
        let headers = response.headers_mut();
        headers.insert(
            header::RETRY_AFTER,
            HeaderValue::from(seconds.ceil().max(1.0) as u64),
        );
        headers.insert("x-ratelimit-scope", HeaderValue::from_static(scope));
        headers.insert(header::VIA, VIA);
        if global {
            headers.insert("x-ratelimit-global", HeaderValue::from_static("true"));
        }
        self.write(response.headers_mut());
        response
    }
}

/// Seconds with three decimals, rounded up: a client that waits exactly this long must get in.
fn seconds_up(time: Duration) -> f64 {
    time.as_nanos().div_ceil(1_000_000) as f64 / 1_000.0
}

/// The limits of a node.
#[derive(Clone)]
pub(crate) enum RateLimits {
    /// Everyone may do everything, and answers carry no rate headers: tests and load.
    Off,
    /// Counted here.
    On(Arc<Tables>),
}

/// What is counted.
pub(crate) struct Tables {
    windows: Table<(&'static str, u64, Who)>,
    invalid: Table<Who>,
    began: Instant,
    swept_ms: AtomicU64,
}

/// Counters by key, each for the length of its window.
struct Table<K> {
    counts: DashMap<K, Count>,
    len: AtomicUsize,
    max: usize,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    used: u32,
    ends: Instant,
}

impl<K: Eq + std::hash::Hash> Table<K> {
    fn new(max: usize) -> Self {
        Self {
            counts: DashMap::new(),
            len: AtomicUsize::new(0),
            max,
        }
    }

    /// Counts one use and answers the count with it; `None` when there is no room.
    fn count(&self, key: K, window: Duration, now: Instant) -> Option<Count> {
        if self.len.load(Ordering::Relaxed) >= self.max {
            self.sweep(now);
        }
        match self.counts.entry(key) {
            Entry::Occupied(mut entry) => {
                let count = entry.get_mut();
                if count.ends <= now {
                    *count = Count {
                        used: 0,
                        ends: now + window,
                    };
                }
                count.used = count.used.saturating_add(1);
                Some(*count)
            }
            Entry::Vacant(entry) => {
                if self.len.load(Ordering::Relaxed) >= self.max {
                    return None;
                }
                self.len.fetch_add(1, Ordering::Relaxed);
                let count = Count {
                    used: 1,
                    ends: now + window,
                };
                entry.insert(count);
                Some(count)
            }
        }
    }

    fn sweep(&self, now: Instant) {
        self.counts.retain(|_, count| {
            let stays = count.ends > now;
            if !stays {
                self.len.fetch_sub(1, Ordering::Relaxed);
            }
            stays
        });
    }
}

impl RateLimits {
    /// Limits with nothing counted yet.
    pub(crate) fn on() -> Self {
        Self::sized(WINDOWS_MAX, ADDRESSES_MAX)
    }

    fn sized(windows: usize, addresses: usize) -> Self {
        Self::On(Arc::new(Tables {
            windows: Table::new(windows),
            invalid: Table::new(addresses),
            began: Instant::now(),
            swept_ms: AtomicU64::new(0),
        }))
    }

    /// Counts a request; `None` when limits are off.
    pub(crate) fn admit(
        &self,
        rule: &'static Rule,
        major: u64,
        who: Who,
        now: Instant,
    ) -> Option<Admission> {
        let Self::On(tables) = self else {
            return None;
        };
        tables.sweep_now_and_then(now);
        let global = tables
            .windows
            .count((GLOBAL.name, 0, who), GLOBAL.window, now);
        let (count, rule, exceeded) = match global {
            Some(count) if count.used > GLOBAL.limit => {
                (Some(count), &GLOBAL, Verdict::RefusedGlobally)
            }
            Some(_) => {
                let count = tables
                    .windows
                    .count((rule.name, major, who), rule.window, now);
                (count, rule, Verdict::Refused)
            }
            None => (None, rule, Verdict::RefusedForAll),
        };
        let Some(count) = count else {
            let wait = Duration::from_secs(1);
            return Some(Admission {
                rule,
                remaining: 0,
                reset_after: wait,
                verdict: Verdict::RefusedForAll,
            });
        };
        Some(Admission {
            rule,
            remaining: rule.limit.saturating_sub(count.used),
            reset_after: count.ends.saturating_duration_since(now),
            verdict: if count.used > rule.limit {
                exceeded
            } else {
                Verdict::Admitted
            },
        })
    }

    /// Counts an invalid request of an address.
    pub(crate) fn note_invalid(&self, address: IpAddr, now: Instant) {
        if let Self::On(tables) = self {
            tables
                .invalid
                .count(Who::address(address), INVALID_WINDOW, now);
        }
    }

    /// How long an address stays blocked; `None` = it is not.
    pub(crate) fn blocked(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let Self::On(tables) = self else {
            return None;
        };
        let count = *tables.invalid.counts.get(&Who::address(address))?;
        (count.used >= INVALID_MAX && count.ends > now).then(|| count.ends - now)
    }
}

impl Tables {
    fn sweep_now_and_then(&self, now: Instant) {
        let now_ms = u64::try_from(now.saturating_duration_since(self.began).as_millis())
            .unwrap_or(u64::MAX);
        let swept = self.swept_ms.load(Ordering::Relaxed);
        let due = now_ms.saturating_sub(swept) >= SWEEP_EVERY.as_millis() as u64;
        if due
            && self
                .swept_ms
                .compare_exchange(swept, now_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            self.windows.sweep(now);
            self.invalid.sweep(now);
            metrics::gauge!("guildhall_http_rate_windows")
                .set(self.windows.len.load(Ordering::Relaxed) as f64);
        }
    }
}

/// The answer to a blocked address: without `Via`, so that clients stop instead of waiting.
pub(crate) fn blocked_response(left: Duration) -> Response {
    metrics::counter!("guildhall_http_rate_limited_total", "scope" => "address").increment(1);
    let body = json!({
        "message": "You are being blocked from accessing our API temporarily due to exceeding our rate limits frequently.",
        "code": 0,
    });
    let mut response = json_response(StatusCode::TOO_MANY_REQUESTS, &body);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(left.as_secs() + 1));
    response
}

#[cfg(test)]
mod tests;
