//! Processes that begin with a body of their own, and then become a server
//! (`gen_server:enter_loop/3..5`, `proc_lib:start_link/3`).
//!
//! ```text
//!  starter ──▶ pid, name, registry keys, link ──▶ starter goes on
//!                └──▶ body ──Enter::Server──▶ a server like any other; what came meanwhile waits
//!                       └────Enter::Stop, panic──▶ the end, without `terminate`
//! ```
//!
//! For what has to talk before it can serve, such as a handshake on a socket. What fits into
//! [`GenServer::init`], or into a message of [`crate::Init::Continue`], belongs there.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::context::Context;
use crate::exit_reason::ExitReason;
use crate::gen_server::{GenServer, Next};
use crate::node::Node;
use crate::options::Options;
use crate::runner::Begin;
use crate::server_ref::ServerRef;
use crate::start::{StartError, start_with};

/// What a process does before it is a server.
pub type Body<S> = Box<dyn for<'a> FnOnce(&'a mut Context<S>) -> BoxFuture<'a, Enter<S>> + Send>;

/// What the body of a process gives.
#[must_use]
pub enum Enter<S: GenServer> {
    /// Become a server with this state, which goes on like this.
    Server(S, Next<S>),
    /// The same, under a name which the process must have by now: otherwise it ends with an error
    /// (`process_not_registered`).
    Named(Arc<str>, S, Next<S>),
    /// End. There is no state, so `terminate` does not run.
    Stop(ExitReason),
}

/// Starts a process with a body, which nobody is linked to (`proc_lib:start/3`). Returns as soon
/// as the process exists; messages to it wait until it is a server.
///
/// ```
/// use otp::{Context, Enter, From, GenServer, Init, Next, Node, Options};
///
/// struct Echo(u32);
///
/// impl GenServer for Echo {
///     type Args = u32;
///     type Message = From<u32>;
///
///     async fn init(number: u32, _ctx: &mut Context<Self>) -> Init<Self> {
///         Init::Ok(Echo(number))
///     }
///
///     async fn handle(&mut self, from: From<u32>, _ctx: &mut Context<Self>) -> Next<Self> {
///         from.reply(self.0);
///         Next::Go
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let node = Node::new("example");
/// let echo = otp::start_body::<Echo>(
///     &node,
///     Box::new(|ctx| {
///         Box::pin(async move {
///             ctx.yield_now().await;
///             Enter::Server(Echo(5), Next::Go)
///         })
///     }),
///     Options::new(),
/// );
/// assert_eq!(echo.await?.call(|from| from).await?, 5);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Only what can be wrong before the body runs, such as a name that is taken.
pub async fn start_body<S: GenServer>(
    node: &Node,
    body: Body<S>,
    options: Options,
) -> Result<ServerRef<S>, StartError> {
    start_with(node.clone(), None, Begin::Body(body), options).await
}

impl<S: GenServer> Context<S> {
    /// Starts a process with a body, linked to this one, which is its parent
    /// (`proc_lib:start_link/3`); see [`start_body`].
    ///
    /// # Errors
    /// See [`start_body`].
    pub fn start_body_link<C: GenServer>(
        &self,
        body: Body<C>,
        options: Options,
    ) -> impl Future<Output = Result<ServerRef<C>, StartError>> + Send + use<S, C> {
        let parent = Some(self.process.clone());
        start_with(self.node().clone(), parent, Begin::Body(body), options)
    }
}
