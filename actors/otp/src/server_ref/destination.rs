//! Whom a message is for: a reference, a pid, a name here, a name on another node
//! (`gen_server(3)`, `server_ref()`).

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::exit_reason::ExitReason;
use crate::gen_server::GenServer;
use crate::node::Node;
use crate::pid::Pid;
use crate::server_ref::{CallError, DEFAULT_CALL_TIMEOUT, From, ServerRef};

/// Something that can be looked up to a server of type `S`.
pub trait Destination<S: GenServer> {
    /// The server, as `node` reaches it.
    ///
    /// # Errors
    /// [`CallError::NoProc`] when there is none, [`CallError::NodeDown`] when its node is not
    /// connected.
    fn resolve(&self, node: &Node) -> Result<ServerRef<S>, CallError>;
}

/// A name on a node (`{Name, Node}`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At<'a> {
    /// The registered name.
    pub name: &'a str,
    /// The name of the node.
    pub node: &'a str,
}

impl<S: GenServer> Destination<S> for ServerRef<S> {
    fn resolve(&self, _node: &Node) -> Result<ServerRef<S>, CallError> {
        Ok(self.clone())
    }
}

impl<S: GenServer> Destination<S> for Pid {
    fn resolve(&self, node: &Node) -> Result<ServerRef<S>, CallError> {
        if node.node_of(*self).is_none() {
            return Err(CallError::NodeDown);
        }
        node.server_ref(*self).ok_or(CallError::NoProc)
    }
}

impl<S: GenServer> Destination<S> for str {
    fn resolve(&self, node: &Node) -> Result<ServerRef<S>, CallError> {
        node.whereis_ref(self).ok_or(CallError::NoProc)
    }
}

impl<S: GenServer> Destination<S> for At<'_> {
    fn resolve(&self, node: &Node) -> Result<ServerRef<S>, CallError> {
        let peer = node.node_named(self.node).ok_or(CallError::NodeDown)?;
        let pid = peer.whereis(self.name).ok_or(CallError::NoProc)?;
        node.server_ref(pid).ok_or(CallError::NoProc)
    }
}

impl<S: GenServer, D: Destination<S> + ?Sized> Destination<S> for &D {
    fn resolve(&self, node: &Node) -> Result<ServerRef<S>, CallError> {
        (**self).resolve(node)
    }
}

impl Node {
    /// Sends a message to whatever a destination is at the moment, and does not care what becomes
    /// of it (`gen_server:cast/2`).
    pub fn cast<S: GenServer>(&self, to: impl Destination<S>, message: S::Message) {
        match to.resolve(self) {
            Ok(server) => server.cast(message),
            Err(_) => self.counters().dropped(),
        }
    }

    /// Asks whatever a destination is at the moment, and waits for the answer, at most
    /// [`DEFAULT_CALL_TIMEOUT`] (`gen_server:call/2`).
    pub async fn call<S, T, F>(&self, to: impl Destination<S>, request: F) -> Result<T, CallError>
    where
        S: GenServer,
        T: Send + 'static,
        F: FnOnce(From<T>) -> S::Message + Send,
    {
        let server = to.resolve(self)?;
        server.call_timeout(DEFAULT_CALL_TIMEOUT, request).await
    }

    /// Asks whatever a destination is at the moment to end, and waits until it has
    /// (`gen_server:stop/3`).
    pub async fn stop_server<S: GenServer>(
        &self,
        server: impl Destination<S>,
        reason: ExitReason,
        limit: Duration,
    ) -> Result<(), CallError> {
        server.resolve(self)?.stop(reason, limit).await
    }

    /// Sends a message to everybody of a name on some nodes, this one or connected ones; whoever
    /// is not there is left out (`gen_server:abcast/3`).
    pub fn abcast<S: GenServer>(
        &self,
        nodes: &[&str],
        name: &str,
        message: impl Fn() -> S::Message,
    ) {
        for node in nodes {
            self.cast::<S>(At { name, node }, message());
        }
    }

    /// Asks everybody of a name on some nodes at once, and waits at most `limit` for all of them
    /// (`gen_server:multi_call/4`). Gives the answers by node, and the nodes that gave none.
    pub async fn multi_call<S, T>(
        &self,
        nodes: &[&str],
        name: &str,
        limit: Duration,
        request: impl Fn(From<T>) -> S::Message,
    ) -> (Vec<(Arc<str>, T)>, Vec<Arc<str>>)
    where
        S: GenServer,
        T: Send + 'static,
    {
        let asked = nodes.iter().map(|node| {
            let server = Destination::<S>::resolve(&At { name, node }, self);
            let sent = server.map(|server| server.send_request(&request));
            let node: Arc<str> = (*node).into();
            async move {
                match sent {
                    Ok(request) => (node, request.receive(limit).await),
                    Err(error) => (node, Err(error)),
                }
            }
        });
        let mut answers = Vec::new();
        let mut bad = Vec::new();
        for (node, answer) in join_all(asked).await {
            match answer {
                Ok(answer) => answers.push((node, answer)),
                Err(_) => bad.push(node),
            }
        }
        (answers, bad)
    }
}
