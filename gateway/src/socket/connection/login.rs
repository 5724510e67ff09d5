//! IDENTIFY and RESUME: who asks, its turn among all who do, and the session it gets.
//!
//! ```text
//!  ask_new, ask_old ─▶ AtGate ── admitted ──▶ identify, resume ─▶ Attached
//!                        ╰────── too late ──▶ op 9, or op 7 ────▶ Waiting, Leaving
//! ```

use std::time::Instant;

use chat::session::outbox::ResumeError;
use chat::session::{Attached, Login};
use chat::{ChatError, session};
use model::intents::Intents;
use model::presence::Presence;
use model::user::Account;

use super::{Connection, End, Phase, drive};
use crate::protocol::CloseCode;
use crate::protocol::payload::{Identify, Resume};
use crate::socket::LOGIN_TIME_MAX;
use crate::socket::admission::Kind;
use crate::socket::claims::{account_of, intents_of, platform_of, presence_of};
use crate::socket::limits::Admission;

/// What a client asked for, checked.
pub(super) enum Asked {
    Identify(Box<Asking>),
    Resume(Box<(Account, Resume)>),
}

/// A new session that is asked for.
pub(super) struct Asking {
    identify: Identify,
    account: Account,
    intents: Intents,
    presence: Option<Presence>,
}

impl Connection {
    /// Op 2: who it is and whether it may, then its turn.
    pub(super) async fn ask_new(&mut self, identify: Identify) -> Result<(), End> {
        let account = account_of(self.context.chat(), &identify.token).await?;
        let intents = intents_of(&identify, &account)?;
        let presence = identify.presence.as_ref().map(presence_of).transpose()?;
        let asking = Asking {
            identify,
            account,
            intents,
            presence,
        };
        self.wait_for_turn(Asked::Identify(Box::new(asking)), Kind::Identify);
        Ok(())
    }

    /// Op 6: who it is, then its turn.
    pub(super) async fn ask_old(&mut self, resume: Resume) -> Result<(), End> {
        let account = account_of(self.context.chat(), &resume.token).await?;
        self.wait_for_turn(Asked::Resume(Box::new((account, resume))), Kind::Resume);
        Ok(())
    }

    fn wait_for_turn(&mut self, asked: Asked, kind: Kind) {
        let gate = self.context.sockets().gate.clone();
        self.phase = Phase::AtGate {
            asked,
            turn: Box::pin(async move { gate.enter(kind).await }),
        };
    }

    /// Its turn has come, or will not come in time.
    pub(super) async fn turn(&mut self, admitted: bool) -> Result<(), End> {
        let waiting = Phase::Waiting {
            until: Instant::now() + self.context.config().login_within,
        };
        let Phase::AtGate { asked, .. } = std::mem::replace(&mut self.phase, waiting) else {
            return Ok(());
        };
        match asked {
            Asked::Identify(asking) if admitted => Box::pin(self.identify(*asking)).await,
            Asked::Resume(asked) if admitted => {
                let (account, resume) = *asked;
                Box::pin(self.resume(account, resume)).await
            }
            Asked::Identify(_) => {
                self.invalid_session(false);
                Ok(())
            }
            Asked::Resume(_) => {
                self.leave();
                Ok(())
            }
        }
    }

    async fn identify(&mut self, asking: Asking) -> Result<(), End> {
        let Asking {
            identify,
            account,
            intents,
            presence,
        } = asking;
        if self.limits.is_some() {
            let shard = identify.shard.map_or(0, |(id, _)| id);
            let identifies = &self.context.sockets().identifies;
            match identifies.take(account.user.id, account.user.bot, shard, Instant::now()) {
                Admission::Granted => {}
                Admission::TooSoon => {
                    self.invalid_session(false);
                    return Ok(());
                }
                Admission::Exhausted => {
                    return Err(End::Close(
                        CloseCode::AuthenticationFailed,
                        "No session starts left today.",
                    ));
                }
            }
        }
        self.person = !account.user.bot;
        if identify.compress {
            self.writer.compress_payloads();
        }
        let login = Login {
            intents,
            shard: identify.shard,
            large_threshold: identify.large_threshold,
            presence,
            platform: platform_of(identify.platform),
            mobile: identify.mobile,
            version: self.version,
            resume_gateway_url: self.context.gateway_url().to_owned(),
            account,
        };
        let transport = self.writer.begin_session();
        let login = session::login(self.context.chat(), login, transport);
        match drive(&self.writer, tokio::time::timeout(LOGIN_TIME_MAX, login)).await {
            Ok(Ok(attached)) => {
                self.attach(attached);
                Ok(())
            }
            Ok(Err(ChatError::Busy)) => {
                self.writer.end_session();
                self.invalid_session(false);
                Ok(())
            }
            Ok(Err(ChatError::Unavailable | ChatError::NotApplied(_))) => {
                self.writer.end_session();
                self.leave();
                Ok(())
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "a login failed");
                Err(CloseCode::UnknownError.into())
            }
            Err(_) => {
                tracing::warn!("a login took too long");
                Err(CloseCode::UnknownError.into())
            }
        }
    }

    async fn resume(&mut self, account: Account, resume: Resume) -> Result<(), End> {
        self.person = !account.user.bot;
        let Resume {
            session_id,
            sequence,
            ..
        } = resume;
        let transport = self.writer.begin_session();
        let resumed = session::resume(
            self.context.chat(),
            &account,
            &session_id,
            sequence,
            transport,
        );
        match drive(&self.writer, tokio::time::timeout(LOGIN_TIME_MAX, resumed)).await {
            Ok(Ok(attached)) => {
                self.attach(attached);
                Ok(())
            }
            Ok(Err(ResumeError::Unknown)) => {
                self.writer.end_session();
                self.invalid_session(false);
                Ok(())
            }
            // It is there, and can be resumed when there is less to do.
            Ok(Err(ResumeError::Busy)) | Err(_) => {
                self.writer.end_session();
                self.leave();
                Ok(())
            }
            Ok(Err(ResumeError::InvalidSequence)) => Err(CloseCode::InvalidSequence.into()),
        }
    }

    /// It has a session, and may have a context for what comes now: READY, GUILD_CREATE and a
    /// replay went out before.
    fn attach(&mut self, attached: Attached) {
        let contexts = &self.context.sockets().contexts;
        if contexts.are_for(attached.is_mobile()) {
            self.writer.allow_context(contexts);
        }
        self.phase = Phase::Attached(attached);
    }
}
