//! What others see of a user with several sessions. Pure.
//!
//! The most active session wins: online, then do not disturb, then idle; invisible and offline
//! sessions do not show. Activities of the sessions that show are put together, first session
//! first, each once (Discord docs, Gateway Events, "Presence Update": `client_status` names the
//! status by platform).

use model::limits::ACTIVITIES_MAX;
use model::presence::{Presence, Status};
use serde_json::{Map, Value};

/// Where a session runs, as `client_status` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Platform {
    /// A desktop application.
    Desktop,
    /// A telephone or tablet.
    Mobile,
    /// A browser; also every bot.
    Web,
}

impl Platform {
    /// The platform of a client that identified with `properties.browser` (Discord docs, Gateway
    /// Events, "Identify Connection Properties").
    pub fn of(bot: bool, browser: &str) -> Self {
        match browser {
            // Bots can show as mobile clients this way, as on Discord.
            "Discord iOS" | "Discord Android" => Self::Mobile,
            "Discord Client" if !bot => Self::Desktop,
            _ => Self::Web,
        }
    }

    /// The key in `client_status`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Desktop => "desktop",
            Self::Mobile => "mobile",
            Self::Web => "web",
        }
    }
}

/// What one session says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Where it runs.
    pub platform: Platform,
    /// What it says.
    pub presence: Presence,
}

/// What others see of a user who is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// Status (never invisible or offline) and activities.
    pub presence: Presence,
    /// Status by platform.
    pub client_status: Map<String, Value>,
}

/// How active a status is; `None` does not show.
fn activity(status: Status) -> Option<u8> {
    match status {
        Status::Online => Some(3),
        Status::Dnd => Some(2),
        Status::Idle => Some(1),
        Status::Invisible | Status::Offline => None,
    }
}

/// The name of a status on the wire.
fn name(status: Status) -> &'static str {
    match status.shown() {
        Status::Online => "online",
        Status::Dnd => "dnd",
        Status::Idle => "idle",
        Status::Invisible | Status::Offline => "offline",
    }
}

/// What others see of all these sessions of one user; `None` = offline.
pub fn fold<'a>(sessions: impl IntoIterator<Item = &'a Told>) -> Option<Folded> {
    let shown: Vec<&Told> = sessions
        .into_iter()
        .filter(|told| activity(told.presence.status).is_some())
        .collect();
    let best = shown
        .iter()
        .map(|told| told.presence.status)
        .max_by_key(|status| activity(*status))?;

    let mut activities: Vec<Value> = Vec::new();
    let mut platforms: Vec<(Platform, Status)> = Vec::new();
    for told in &shown {
        for wanted in &told.presence.activities {
            if activities.len() < ACTIVITIES_MAX && !activities.contains(wanted) {
                activities.push(wanted.clone());
            }
        }
        let status = told.presence.status;
        match platforms
            .iter_mut()
            .find(|(platform, _)| *platform == told.platform)
        {
            Some((_, known)) if activity(*known) < activity(status) => *known = status,
            Some(_) => {}
            None => platforms.push((told.platform, status)),
        }
    }
    // Idle only when every session that shows is, and since the last of them became so.
    let since = match best {
        Status::Idle => shown.iter().filter_map(|told| told.presence.since).max(),
        _ => None,
    };
    let client_status = platforms
        .into_iter()
        .map(|(platform, status)| (platform.key().to_owned(), name(status).into()));
    Some(Folded {
        presence: Presence {
            status: best,
            activities,
            since,
            afk: shown.iter().all(|told| told.presence.afk),
        },
        client_status: client_status.collect(),
    })
}

#[cfg(test)]
mod tests;
