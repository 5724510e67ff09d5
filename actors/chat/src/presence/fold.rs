//! What others see of a user with several sessions. Pure.
//!
//! The most active session wins: online, then do not disturb, then idle; invisible and offline
//! sessions do not show. Activities of the sessions that show are put together, first session
//! first, each once (Discord docs, Gateway Events, "Presence Update": `client_status` names the
//! status by platform).

use model::limits::ACTIVITIES_MAX;
use model::presence::{ClientStatus, Presence, Status};
use serde_json::Value;

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

    /// Its place in `client_status`.
    fn of_status(self, client_status: &mut ClientStatus) -> &mut Option<Status> {
        match self {
            Self::Desktop => &mut client_status.desktop,
            Self::Mobile => &mut client_status.mobile,
            Self::Web => &mut client_status.web,
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
    pub client_status: ClientStatus,
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
    let mut client_status = ClientStatus::default();
    for told in &shown {
        for wanted in &told.presence.activities {
            if activities.len() < ACTIVITIES_MAX && !activities.contains(wanted) {
                activities.push(wanted.clone());
            }
        }
        let status = told.presence.status;
        let known = told.platform.of_status(&mut client_status);
        if known.is_none_or(|known| activity(known) < activity(status)) {
            *known = Some(status);
        }
    }
    // Idle only when every session that shows is, and since the last of them became so.
    let since = match best {
        Status::Idle => shown.iter().filter_map(|told| told.presence.since).max(),
        _ => None,
    };
    Some(Folded {
        presence: Presence {
            status: best,
            activities,
            since,
            afk: shown.iter().all(|told| told.presence.afk),
        },
        client_status,
    })
}

#[cfg(test)]
mod tests;
