//! The Keeper process: one per guild, owns the member table, and does nothing else, so that nothing
//! but a kill can end it.
//!
//! ```text
//! [Keeper] ──owns──▶ MemberTable ◀── Guild fills it, Lane keeps it up to date, walks read it
//! ```
//!
//! * Started by the guild's family supervisor, after the relays and before the guild.
//! * It outlives the guild: that starts again and finds its members here.
//! * When it dies its table is gone, and the family starts the guild again with it, which fills a
//!   new table from the store. No session notices: lane and relays go on. The table has no heir: an
//!   heir would have to be a process that does something, and could fail of it.
//! * It calls nobody, nobody calls it, its mailbox is empty.
//! * Next hop: [`mod@super::members`].

use std::convert::Infallible;
use std::sync::Arc;

use otp::{Context, GenServer, Init, Next};

use super::family::Family;

/// What a keeper is started with.
pub struct KeeperArgs {
    pub(crate) family: Arc<Family>,
}

/// The keeper process.
pub struct Keeper;

impl GenServer for Keeper {
    type Args = KeeperArgs;
    type Message = Infallible;

    async fn init(args: KeeperArgs, ctx: &mut Context<Self>) -> Init<Self> {
        args.family.keeper_is(ctx.pid());
        Init::Ok(Self)
    }

    async fn handle(&mut self, message: Infallible, _ctx: &mut Context<Self>) -> Next<Self> {
        match message {}
    }
}
