//! Mentions: what a text names ([`scan`]), and what the author allows to notify
//! ([`AllowedMentions`]).
//!
//! ```text
//! text ── scan ──▶ Mentioned ── allow ──▶ Mentioned ── the guild: who exists, who may ──▶ message
//! ```

use std::collections::HashSet;
use std::hash::Hash;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::form::{Fields, FormErrors, join, read_snowflake};
use crate::id::{Id, RoleId, UserId};
use crate::limits::MENTIONS_MAX;

/// Who may be notified by a message (Discord docs, Message Resource, "Allowed Mentions Object").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedMentions {
    /// Kinds that are read from the text: `roles`, `users`, `everyone`.
    #[serde(default)]
    pub parse: Vec<String>,
    /// Roles that may be notified, at most 100.
    #[serde(default)]
    pub roles: Vec<RoleId>,
    /// Users that may be notified, at most 100.
    #[serde(default)]
    pub users: Vec<UserId>,
    /// Whether the author of the answered message is notified; unset means no. (A message without
    /// any allowed mentions does notify: see [`notifies_replied`].)
    #[serde(default)]
    pub replied_user: Option<bool>,
}

/// Kinds of mention that `parse` may name (Discord docs, Message Resource, "Allowed Mention
/// Types").
const PARSE_KINDS: [&str; 3] = ["everyone", "roles", "users"];

/// What a text names; or what of it may be notified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mentioned {
    /// Users, each once, in the order of the text; at most [`MENTIONS_MAX`].
    pub users: Vec<UserId>,
    /// Roles, each once, in the order of the text; at most [`MENTIONS_MAX`].
    pub roles: Vec<RoleId>,
    /// Whether `@everyone` or `@here` is in the text.
    pub everyone: bool,
}

/// Finds `<@1>`, `<@!1>`, `<@&2>`, `@everyone` and `@here` in `content`, but not inside backticks
/// (Discord docs, Reference, "Message Formatting").
///
/// Mentions past [`MENTIONS_MAX`] of a kind are not found: they notify nobody. Takes time linear
/// in the text (with a factor of its different lengths of backtick runs, at most √(2n)).
pub fn scan(content: &str) -> Mentioned {
    let mut found = Mentioned::default();
    let mut seen = HashSet::new();
    for text in outside_code(content) {
        found.everyone |= text.contains("@everyone") || text.contains("@here");
        let mut rest = text;
        while let Some(at) = rest.find("<@") {
            rest = &rest[at + 2..];
            let (role, digits) = match rest.as_bytes().first() {
                Some(b'&') => (true, &rest[1..]),
                Some(b'!') => (false, &rest[1..]),
                _ => (false, rest),
            };
            let Some(id) = leading_id(digits) else {
                continue;
            };
            if role && found.roles.len() < MENTIONS_MAX && seen.insert((true, id)) {
                found.roles.extend(Id::new_checked(id));
            } else if !role && found.users.len() < MENTIONS_MAX && seen.insert((false, id)) {
                found.users.extend(Id::new_checked(id));
            }
        }
    }
    found
}

/// The number before the first `>`; `None` unless it is all digits and fits an id.
fn leading_id(text: &str) -> Option<u64> {
    /// Digits of the greatest snowflake.
    const DIGITS_MAX: usize = 20;
    let end = text.bytes().take(DIGITS_MAX + 1).position(|b| b == b'>')?;
    let digits = text.get(..end)?;
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        digits.parse().ok().filter(|id| *id != 0)
    } else {
        None
    }
}

/// The pieces of `content` outside inline code and code blocks: a run of backticks opens code when
/// a run of the same length (three or more: at least three) closes it.
fn outside_code(content: &str) -> Vec<&str> {
    let runs = backtick_runs(content);
    let mut pieces = Vec::new();
    let mut hopeless = HashSet::new();
    let (mut start, mut next) = (0, 0);
    while let Some(&(open, length)) = runs.get(next) {
        let kind = length.min(3);
        next += 1;
        if hopeless.contains(&length) {
            continue;
        }
        let close = runs[next..].iter().position(|&(_, other)| {
            if kind == 3 {
                other >= 3
            } else {
                other == length
            }
        });
        match close {
            Some(offset) => {
                let (at, length) = runs[next + offset];
                pieces.push(&content[start..open]);
                start = at + length;
                next += offset + 1;
            }
            None => {
                hopeless.insert(length);
            }
        }
    }
    pieces.push(&content[start..]);
    pieces
}

/// Start and length of every run of backticks.
fn backtick_runs(content: &str) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (at, _) in content.match_indices('`') {
        match runs.last_mut() {
            Some((start, length)) if *start + *length == at => *length += 1,
            _ => runs.push((at, 1)),
        }
    }
    runs
}

impl AllowedMentions {
    /// Reads what a client sent at `path` (`allowed_mentions`); `null` is `None`.
    ///
    /// # Errors
    /// Wrong types, and all that [`AllowedMentions::validate`] finds; answer 400 with 50035.
    pub fn from_json(value: &Value, path: &str) -> Result<Option<Self>, FormErrors> {
        if value.is_null() {
            return Ok(None);
        }
        let mut errors = FormErrors::new();
        let mut read = Self::default();
        if let Some(fields) = Fields::of(value, path, &mut errors) {
            for value in fields
                .list("parse", usize::MAX, &mut errors)
                .unwrap_or_default()
            {
                match value {
                    Value::Null => {}
                    Value::String(kind) if read.parse.contains(kind) => {}
                    // Longer than the choices: the first strange one is already refused below.
                    _ if read.parse.len() > PARSE_KINDS.len() => {}
                    Value::String(kind) => read.parse.push(kind.clone()),
                    other => read.parse.push(other.to_string()),
                }
            }
            read.users = ids(&fields, "users", &mut errors);
            read.roles = ids(&fields, "roles", &mut errors);
            read.replied_user = fields.boolean("replied_user", &mut errors);
        }
        read.check(path, &mut errors);
        errors.into_result()?;
        Ok(Some(read))
    }

    /// Whether Discord takes it: known kinds in `parse`, at most 100 users and roles, and not both
    /// a kind in `parse` and a list of that kind (Discord docs, Message Resource, "Allowed
    /// Mentions Reference").
    ///
    /// # Errors
    /// The faults under `allowed_mentions`; nothing was sent, answer 400 with 50035.
    pub fn validate(&self) -> Result<(), FormErrors> {
        let mut errors = FormErrors::new();
        self.check("allowed_mentions", &mut errors);
        errors.into_result()
    }

    fn check(&self, path: &str, errors: &mut FormErrors) {
        for (index, kind) in self.parse.iter().enumerate() {
            if !PARSE_KINDS.contains(&kind.as_str()) {
                let message = format!("Value must be one of ('{}').", PARSE_KINDS.join("', '"));
                let at = join(&join(path, "parse"), index);
                errors.push(at, "BASE_TYPE_CHOICES", message);
            }
        }
        for (kind, length) in [("users", self.users.len()), ("roles", self.roles.len())] {
            if length > MENTIONS_MAX {
                let message = format!("Must be {MENTIONS_MAX} or fewer in length.");
                errors.push(join(path, kind), "BASE_TYPE_MAX_LENGTH", message);
            }
            if length > 0 && self.parses(kind) {
                errors.push(
                    path,
                    "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE",
                    format!("parse:[\"{kind}\"] and {kind}: [ids...] are mutually exclusive."),
                );
            }
        }
    }

    fn parses(&self, kind: &str) -> bool {
        self.parse.iter().any(|one| one == kind)
    }

    /// What of `mentioned` is notified: kinds named in `parse`, and what is listed by id.
    pub fn apply(&self, mentioned: &Mentioned) -> Mentioned {
        Mentioned {
            users: keep(&mentioned.users, self.parses("users"), &self.users),
            roles: keep(&mentioned.roles, self.parses("roles"), &self.roles),
            everyone: mentioned.everyone && self.parses("everyone"),
        }
    }
}

/// What of `mentioned` is notified: all of it when the author sent no allowed mentions.
pub fn allow(allowed: Option<&AllowedMentions>, mentioned: Mentioned) -> Mentioned {
    match allowed {
        Some(allowed) => allowed.apply(&mentioned),
        None => mentioned,
    }
}

/// Whether a reply notifies the author it answers: yes without allowed mentions, otherwise as
/// `replied_user` says, by default no (Discord docs, Message Resource, "Allowed Mentions Object").
pub fn notifies_replied(allowed: Option<&AllowedMentions>) -> bool {
    allowed.is_none_or(|allowed| allowed.replied_user == Some(true))
}

/// All of `mentioned`, or what is in `listed`.
fn keep<T: Copy + Eq + Hash>(mentioned: &[T], all: bool, listed: &[T]) -> Vec<T> {
    let listed: HashSet<&T> = listed.iter().collect();
    mentioned
        .iter()
        .filter(|id| all || listed.contains(id))
        .copied()
        .collect()
}

/// The list of ids at `key`, each once; `null` entries are ignored.
fn ids<T>(fields: &Fields<'_>, key: &str, errors: &mut FormErrors) -> Vec<Id<T>> {
    let list = fields.list(key, MENTIONS_MAX, errors).unwrap_or_default();
    let mut ids: Vec<Id<T>> = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        match read_snowflake(value) {
            Some(id) if !ids.contains(&id) => ids.push(id),
            Some(_) => {}
            None if value.is_null() => {}
            None => errors.push(
                join(&fields.at(key), index),
                "NUMBER_TYPE_COERCE",
                "Value is not snowflake.",
            ),
        }
    }
    ids
}

#[cfg(test)]
mod tests;
